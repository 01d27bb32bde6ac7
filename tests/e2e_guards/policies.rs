//! Policies are written by administrators alone, within bounds; and the samples that people copy are accepted as they stand.

use std::path::Path;

use serde_json::{Value, json};

use crate::wire::{EXECUTOR, GROUP, OPERATOR, Table, Who, client, namespace, post, remove};

fn policy(spec: &Value) -> Value {
    json!({ "apiVersion": "firewatch.dev/v1alpha1", "kind": "ResponsePolicy", "metadata": { "generateName": "guards-" }, "spec": spec })
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_the_administrators_and_hold_no_value_out_of_bounds() {
    let client = client().await;
    let c = &client;
    let mut t = Table::default();
    // Never in earnest: a policy holds for the whole cluster.
    let path = format!("{GROUP}/responsepolicies?dryRun=All");
    let make = |spec: &Value| post(&path, policy(spec));
    let ordinary = || make(&json!({ "priority": 10, "mode": "Suggest" }));
    t.allowed(c, "an administrator writes one", Who::Admin, ordinary())
        .await;
    for who in [
        Who::Account(OPERATOR),
        Who::Account(EXECUTOR),
        Who::Person("alice"),
        Who::Stranger("mallory"),
    ] {
        t.refused(
            c,
            &format!("{who:?} writes one"),
            who,
            ordinary(),
            "cannot create resource",
        )
        .await;
    }
    for (what, spec, why) in [
        (
            "a mode that does not exist",
            json!({ "mode": "Everything" }),
            "spec.mode",
        ),
        ("a priority too high", json!({ "priority": 1001 }), "spec.priority"),
        (
            "a plan that waits for days",
            json!({ "approvalTtlSeconds": 200_000 }),
            "spec.approvalTtlSeconds",
        ),
        (
            "no approval at all",
            json!({ "requiredApprovals": 0 }),
            "spec.requiredApprovals",
        ),
        (
            "an action that is not in the catalogue",
            json!({ "allowedActions": ["DeleteEverything"] }),
            "spec.allowedActions[0]",
        ),
        (
            "an approval of anything",
            json!({ "autoApprove": { "maxRisk": "low", "actionTypes": [] } }),
            "spec.autoApprove.actionTypes",
        ),
        (
            "a confidence above one",
            json!({ "autoApprove": { "maxRisk": "low", "actionTypes": ["Scale"], "minConfidence": "2.0" } }),
            "spec.autoApprove.minConfidence",
        ),
    ] {
        t.refused(c, what, Who::Admin, make(&spec), why).await;
    }
    t.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_is_accepted_as_it_stands() {
    let client = client().await;
    let ns = namespace(&client, "guards-samples").await;
    let mut t = Table::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut sample: Value = serde_saphyr::from_str(&text).unwrap();
        // Strict: a field that the kind does not know is refused, not dropped.
        let strict = "dryRun=All&fieldValidation=Strict";
        let (who, url) = if sample["kind"] == "Incident" {
            sample["metadata"]["namespace"] = json!(ns);
            (
                Who::Person("alice"),
                format!("{GROUP}/namespaces/{ns}/incidents?{strict}"),
            )
        } else {
            (Who::Admin, format!("{GROUP}/responsepolicies?{strict}"))
        };
        t.allowed(&client, &path.display().to_string(), who, post(url, sample))
            .await;
    }
    assert!(t.cases >= 5);
    remove(&client, &ns).await;
    t.ends();
}
