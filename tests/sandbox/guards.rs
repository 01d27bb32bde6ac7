//! The chart's guard of sandbox pods admits what the operator builds, and nothing that would make more of it.

use firewatch_core::sandbox::job::RequestLane;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::arena::with_arena;

/// What is changed, by JSON pointer; a last `-` appends.
fn changed(pod: &Pod, pointer: &str, value: Value) -> Pod {
    let mut pod = serde_json::to_value(pod).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match pod.pointer_mut(parent).unwrap_or_else(|| panic!("{parent}")) {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        Value::Object(map) => {
            map.insert(key.replace("~1", "/"), value);
        }
        other => panic!("{parent} is {other}"),
    }
    serde_json::from_value(pod).unwrap()
}

#[tokio::test]
async fn what_the_operator_builds_is_admitted_and_what_would_make_more_of_it_is_not() {
    with_arena(true, async |arena| {
        for lane in [RequestLane::Observe, RequestLane::Analyze] {
            assert_eq!(arena.admits(&arena.pod(lane)).await, Ok(()));
        }
        let c = "/spec/containers/0";
        let mount = |path: &str| json!({ "name": "evidence-e1", "mountPath": path, "readOnly": true });
        let token =
            json!({ "name": "token", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } });
        let mut second = serde_json::to_value(&arena.pod(RequestLane::Analyze).spec.unwrap().containers[0]).unwrap();
        second["name"] = json!("second");
        let cases: Vec<(&str, RequestLane, String, Value)> = vec![
            (
                "a command of its own",
                RequestLane::Analyze,
                format!("{c}/command"),
                json!(["/bin/sh"]),
            ),
            (
                "another image",
                RequestLane::Analyze,
                format!("{c}/image"),
                json!("docker.io/library/busybox"),
            ),
            (
                "an environment",
                RequestLane::Observe,
                format!("{c}/env"),
                json!([{ "name": "KUBERNETES_SERVICE_HOST", "value": "198.51.100.1" }]),
            ),
            (
                "a mount over the runner",
                RequestLane::Analyze,
                format!("{c}/volumeMounts/-"),
                mount("/usr/local/bin"),
            ),
            (
                "a mount over the scripts",
                RequestLane::Analyze,
                format!("{c}/volumeMounts/-"),
                mount("/usr/local/lib/firewatch"),
            ),
            (
                "a mount over the request",
                RequestLane::Analyze,
                format!("{c}/volumeMounts/-"),
                mount("/request/x"),
            ),
            (
                "a token in analyze",
                RequestLane::Analyze,
                "/spec/volumes/-".to_owned(),
                token,
            ),
            (
                "a Secret",
                RequestLane::Observe,
                "/spec/volumes/-".to_owned(),
                json!({ "name": "evidence-s", "secret": { "secretName": "s" } }),
            ),
            (
                "the executor's account in observe",
                RequestLane::Observe,
                "/spec/serviceAccountName".to_owned(),
                json!("remediation-executor"),
            ),
            (
                "an investigator's account in analyze",
                RequestLane::Analyze,
                "/spec/serviceAccountName".to_owned(),
                json!("sre-investigator"),
            ),
            (
                "an automounted token",
                RequestLane::Analyze,
                "/spec/automountServiceAccountToken".to_owned(),
                json!(true),
            ),
            (
                "another argument",
                RequestLane::Observe,
                format!("{c}/args/-"),
                json!("--verbose"),
            ),
            (
                "another lane label",
                RequestLane::Observe,
                "/metadata/labels/firewatch.dev~1lane".to_owned(),
                json!("remediate"),
            ),
            (
                "host names of its own",
                RequestLane::Observe,
                "/spec/hostAliases".to_owned(),
                json!([{ "ip": "198.51.100.1", "hostnames": ["kubernetes"] }]),
            ),
            (
                "a node of its choice",
                RequestLane::Observe,
                "/spec/nodeSelector".to_owned(),
                json!({ "a": "b" }),
            ),
            (
                "more memory",
                RequestLane::Analyze,
                format!("{c}/resources/limits/memory"),
                json!("4Gi"),
            ),
            (
                "more time",
                RequestLane::Analyze,
                "/spec/activeDeadlineSeconds".to_owned(),
                json!(3600),
            ),
            (
                "a writable root",
                RequestLane::Analyze,
                format!("{c}/securityContext/readOnlyRootFilesystem"),
                json!(false),
            ),
            (
                "another termination message",
                RequestLane::Analyze,
                format!("{c}/terminationMessagePolicy"),
                json!("FallbackToLogsOnError"),
            ),
            (
                "a second container",
                RequestLane::Analyze,
                "/spec/containers/-".to_owned(),
                second,
            ),
        ];
        for (what, lane, pointer, value) in cases {
            let refusal = arena.admits(&changed(&arena.pod(lane), &pointer, value)).await;
            let refusal = refusal.expect_err(what);
            assert!(
                refusal.contains("ValidatingAdmissionPolicy"),
                "{what}: refused by something else: {refusal}"
            );
        }
    })
    .await;
}
