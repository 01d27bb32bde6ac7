//! What a cluster may hold and nobody expects: each is borne without a panic, without a guess, and in bounded time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use firewatch_core::api::ObjectName;
use firewatch_core::diagnosis::recording::Recording;
use firewatch_core::diagnosis::{CaseFile, Diagnosis, Verdict, diagnose, logs, questions, standing};
use firewatch_core::sandbox::command::Command;
use firewatch_core::sandbox::evidence::Evidence;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Generous: tests are not optimised, and the machine does other things.
const BOUND: Duration = Duration::from_secs(20);

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn evidence(id: usize, command: Command, output: String) -> Evidence {
    common::evidence(id, now(), command, output)
}

fn get() -> Command {
    common::namespace_lists("n")
}

fn log_of(pod: &str) -> Command {
    Command::Logs {
        namespace: "n".into(),
        pod: pod.into(),
        container: "c".into(),
        previous: false,
        tail_lines: questions::TAIL,
    }
}

fn list(items: &[Value]) -> String {
    json!({ "kind": "List", "items": items }).to_string()
}

/// Reads and diagnoses, within the bound.
fn bounded(what: &str, evidence: &[Evidence]) -> Diagnosis {
    let started = Instant::now();
    let case = CaseFile::from_evidence("n", None, now(), evidence);
    let diagnosis = diagnose(&case);
    standing::standings(&case);
    assert!(started.elapsed() < BOUND, "{what} took {:?}", started.elapsed());
    diagnosis
}

fn running(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "n", "labels": { "app": name } },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
        "status": {
            "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{
                "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "started": true, "state": { "running": {} },
            }],
        },
    })
}

#[test]
fn objects_without_status_or_of_unknown_versions_are_no_finding() {
    let items = [
        json!({ "apiVersion": "apps/v9", "kind": "Deployment", "metadata": { "name": "a", "namespace": "n" } }),
        json!({ "apiVersion": "apps/v9", "kind": "StatefulSet", "metadata": { "name": "b", "namespace": "n" }, "spec": { "replicas": "many" } }),
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "c", "namespace": "n" } }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "d", "namespace": "n" } }),
        json!({ "apiVersion": "example.dev/v1", "kind": "Widget", "metadata": { "name": "e", "namespace": "n" }, "spec": [1, 2] }),
        json!({ "kind": 7, "metadata": { "name": ["f"] } }),
    ];
    let diagnosis = bounded("missing status", &[evidence(1, get(), list(&items))]);
    assert!(diagnosis.root_cause.is_none(), "{:?}", diagnosis.root_cause);
    assert_ne!(diagnosis.verdict, Verdict::Found);
}

#[test]
fn an_event_without_time_or_of_the_future_is_borne() {
    let event = |extra: Value| {
        let mut event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": "x", "namespace": "n" }, "type": "Warning", "reason": "BackOff",
            "message": "Back-off restarting failed container", "involvedObject": { "kind": "Pod", "namespace": "n", "name": "web" },
        });
        event
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        event
    };
    let items = [
        running("web"),
        event(json!({})),
        event(json!({ "firstTimestamp": null, "lastTimestamp": null, "eventTime": null, "count": null })),
        event(json!({ "lastTimestamp": "2999-01-01T00:00:00Z", "count": -4 })),
        event(json!({ "lastTimestamp": "yesterday", "count": 99_999_999_999_i64 })),
        event(json!({ "series": { "count": 3, "lastObservedTime": "1970-01-01T00:00:00Z" } })),
    ];
    let diagnosis = bounded("odd events", &[evidence(1, get(), list(&items))]);
    assert!(diagnosis.root_cause.is_none(), "{:?}", diagnosis.root_cause);
}

#[test]
fn logs_that_are_binary_empty_endless_or_in_other_languages_are_no_cause() {
    let binary: String = (0..200_000_u32).filter_map(|n| char::from_u32(n % 0xd7ff)).collect();
    let endless = "x".repeat(4 * 1024 * 1024);
    let many = "2026-03-01T11:59:59Z INFO served 200 error_rate=0\n".repeat(60_000);
    let languages =
        "2026-03-01T11:59:59Z 接続に成功しました\n2026-03-01T11:59:59Z Verbindung hergestellt, keine Fehler\n\
        2026-03-01T11:59:59Z подключение установлено\n2026-03-01T11:59:59Z تم الاتصال بنجاح\n"
            .repeat(200);
    for (what, log) in [
        ("binary", binary),
        ("empty", String::new()),
        ("endless", endless),
        ("many lines", many),
        ("other languages", languages),
    ] {
        let all = [
            evidence(1, get(), list(&[running("web")])),
            evidence(2, log_of("web"), log),
        ];
        let diagnosis = bounded(what, &all);
        assert!(diagnosis.root_cause.is_none(), "{what}: {:?}", diagnosis.root_cause);
    }
}

#[test]
fn owners_that_own_each_other_and_services_that_call_each_other_end() {
    let owned = |kind: &str, name: &str, by: (&str, &str)| {
        json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": {
            "name": name, "namespace": "n",
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": by.0, "name": by.1, "uid": "u", "controller": true }],
        } })
    };
    let mut items = vec![
        owned("ReplicaSet", "a", ("Deployment", "a")),
        owned("Deployment", "a", ("ReplicaSet", "a")),
        owned("ReplicaSet", "self", ("ReplicaSet", "self")),
    ];
    let mut all = Vec::new();
    for (number, (name, calls)) in [("red", "green"), ("green", "blue"), ("blue", "red")]
        .into_iter()
        .enumerate()
    {
        let mut pod = running(name);
        pod["spec"]["containers"][0]["env"] = json!([{ "name": "UPSTREAM", "value": format!("http://{calls}:80") }]);
        pod["status"]["conditions"][0]["status"] = json!("False");
        items.push(pod);
        items.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "n" },
            "spec": { "selector": { "app": name }, "ports": [{ "port": 80 }] },
        }));
        let line = format!("2026-03-01T11:59:59Z ERROR dial tcp {calls}:80: connect: connection refused\n");
        all.push(evidence(number + 2, log_of(name), line.repeat(20)));
    }
    all.insert(0, evidence(1, get(), list(&items)));
    for target in [None, Some(ObjectName::namespaced("Pod", "n", "red"))] {
        let started = Instant::now();
        diagnose(&CaseFile::from_evidence("n", target, now(), &all));
        assert!(started.elapsed() < BOUND);
    }
}

#[test]
fn ten_thousand_replica_sets_are_read_in_bounded_time() {
    let mut items = vec![json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "n" },
        "spec": { "replicas": 0, "selector": { "matchLabels": { "app": "web" } }, "template": { "metadata": {}, "spec": { "containers": [] } } },
    })];
    items.extend((0..10_000).map(|n| {
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("web-{n}"), "namespace": "n", "creationTimestamp": "2026-03-01T10:00:00Z",
                "annotations": { "deployment.kubernetes.io/revision": n.to_string() },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": true }],
            },
            "spec": {
                "replicas": 0, "selector": { "matchLabels": { "app": "web" } },
                "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": format!("i:{n}") }] } },
            },
        })
    }));
    bounded("ten thousand ReplicaSets", &[evidence(1, get(), list(&items))]);
}

#[test]
fn json_that_is_deeper_than_a_parser_goes_hides_nothing_else() {
    let deep = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"deep","namespace":"n"}},"x":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let output = format!(r#"{{"items":[{deep},{}]}}"#, running("web"));
    let case = CaseFile::from_evidence("n", None, now(), &[evidence(1, get(), output)]);
    assert!(case.entry(&ObjectName::namespaced("Pod", "n", "web")).is_some());
    diagnose(&case);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_log_of_a_healthy_pod_is_borne(lines in prop::collection::vec(any_line(), 0..60)) {
        let all = [evidence(1, get(), list(&[running("web")])), evidence(2, log_of("web"), lines.join("\n"))];
        let diagnosis = diagnose(&CaseFile::from_evidence("n", None, now(), &all));
        for finding in &diagnosis.findings {
            prop_assert!(!finding.evidence.is_empty() && finding.summary.len() < 64 * 1024);
        }
    }

    #[test]
    fn any_text_is_a_recording_or_says_why_not(text in any::<String>()) {
        if let Err(fault) = Recording::from_text(&text) {
            prop_assert!(fault.to_string().contains("record again") || fault.to_string().contains("Record again"));
        }
    }

    #[test]
    fn any_survey_is_borne(text in any::<String>(), name in "[a-z]{1,8}") {
        standing::survey(&text, now());
        standing::survey(&json!({ "items": [{ "kind": "Pod", "metadata": { "namespace": name }, "status": text }] }).to_string(), now());
    }
}

/// Pieces that look like what programs write, in any order, cut anywhere.
fn any_line() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "2026-03-01T11:59:59Z ",
        "ERROR ",
        "Caused by: ",
        "Traceback (most recent call last):",
        "  File \"/app/a.py\", line 3, in f",
        "\tat com.example.A.b(A.java:7)",
        "panic: ",
        "goroutine 1 [running]:",
        "thread 'main' panicked at ",
        "connection refused ",
        "dial tcp 10.0.0.1:5432: ",
        "{\"level\":\"error\",\"msg\":\"",
        "exit status 137",
        "OutOfMemory",
        "timeout=",
        "http://",
        "::::",
        "[[[",
        "\u{202e}",
        "\u{0}",
        "é",
        "99999999999999999999",
    ]);
    (
        prop::collection::vec(piece, 0..8),
        any::<String>(),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(pieces, tail, at)| {
            let mut line = pieces.concat();
            line.push_str(&tail);
            line.truncate(line.floor_char_boundary(at.index(line.len() + 1)));
            logs::level(&line);
            logs::endpoints(&line);
            line
        })
}
