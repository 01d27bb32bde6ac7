//! Changes whose ground has moved: the API server itself refuses what was planned for another object, value or container.

use serde_json::{Value, json};

use crate::wire::{EXECUTOR, Table, Who, client, json_patch, namespace, post, remove, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_applies_only_to_what_was_observed_and_only_once() {
    let client = client().await;
    let ns = namespace(&client, "guards-moved").await;
    let c = &client;
    let mut t = Table::default();
    let deployments = format!("/apis/apps/v1/namespaces/{ns}/deployments");
    let web = json!({ "metadata": { "name": "web" }, "spec": { "replicas": 0, "selector": { "matchLabels": { "app": "web" } }, "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "web", "image": "localhost/firewatch-workload:dev" }] } } } });
    let made = send(c, Who::Admin, &post(&deployments, web)).await.unwrap();
    let uid = made["metadata"]["uid"].as_str().unwrap().to_owned();
    let executor = Who::Account(EXECUTOR);
    let path = format!("{deployments}/web");
    let test = |path: &str, value: Value| json!({ "op": "test", "path": path, "value": value });
    let replace = |path: &str, value: Value| json!({ "op": "replace", "path": path, "value": value });
    let failed = "the server rejected our request due to an error in our request";
    let up = || {
        json!([
            test("/metadata/uid", json!(uid)),
            test("/spec/replicas", json!(0)),
            replace("/spec/replicas", json!(1))
        ])
    };
    t.refused(
        c,
        "another uid",
        executor,
        json_patch(
            &path,
            json!([
                test("/metadata/uid", json!("00000000-0000-0000-0000-000000000000")),
                replace("/spec/replicas", json!(1))
            ]),
        ),
        failed,
    )
    .await;
    t.refused(
        c,
        "another value than observed",
        executor,
        json_patch(
            &path,
            json!([
                test("/metadata/uid", json!(uid)),
                test("/spec/replicas", json!(7)),
                replace("/spec/replicas", json!(1))
            ]),
        ),
        failed,
    )
    .await;
    t.refused(
        c,
        "another container at that index",
        executor,
        json_patch(
            &path,
            json!([
                test("/metadata/uid", json!(uid)),
                test("/spec/template/spec/containers/0/name", json!("other")),
                replace("/spec/template/spec/containers/0/image", json!("x"))
            ]),
        ),
        failed,
    )
    .await;
    t.allowed(
        c,
        "as observed, dry run",
        executor,
        json_patch(format!("{path}?dryRun=All"), up()),
    )
    .await;
    t.allowed(c, "as observed", executor, json_patch(&path, up())).await;
    t.refused(
        c,
        "the same patch a second time",
        executor,
        json_patch(&path, up()),
        failed,
    )
    .await;
    remove(c, &ns).await;
    t.ends();
}
