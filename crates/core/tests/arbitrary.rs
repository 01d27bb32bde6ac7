//! Anything may come out of a cluster: the case file and every analyzer bear it, without panic and in bounded time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use firewatch_core::api::ObjectName;
use firewatch_core::diagnosis::{CaseFile, diagnose, logs};
use firewatch_core::sandbox::command::Command;
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};
use proptest::prelude::*;
use serde_json::{Value, json};

fn evidence(id: usize, command: Command, output: String, state: EvidenceState) -> Evidence {
    Evidence {
        state,
        exit_code: None,
        ..common::evidence(id, "2026-03-01T12:00:00Z".parse().unwrap(), command, output)
    }
}

fn get() -> Command {
    common::namespace_lists("n")
}

/// JSON of any shape.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        Just(json!("2026-03-01T11:00:00Z")),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(
                prop::sample::select(vec![
                    "kind",
                    "metadata",
                    "name",
                    "namespace",
                    "spec",
                    "status",
                    "template",
                    "containers",
                    "items",
                    "labels",
                    "selector",
                    "conditions",
                    "type",
                    "replicas",
                    "containerStatuses",
                    "state",
                    "waiting",
                    "terminated",
                    "reason",
                    "message",
                    "ownerReferences",
                    "controller",
                    "involvedObject",
                ])
                .prop_map(ToOwned::to_owned),
                inner,
                0..6
            )
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An object that looks like one of a known kind, with parts of any shape.
fn any_object() -> impl Strategy<Value = Value> {
    let kinds = vec![
        "Pod",
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "Service",
        "ConfigMap",
        "Event",
        "Node",
        "ResourceQuota",
        "HorizontalPodAutoscaler",
        "PersistentVolumeClaim",
        "Ingress",
        "ControllerRevision",
        "Widget",
    ];
    (prop::sample::select(kinds), "[ab]", "[ab]", any_json(), any_json()).prop_map(
        |(kind, name, owner, spec, status)| {
            json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "namespace": "n", "labels": {"app": owner},
                "ownerReferences": [{"apiVersion": "v1", "kind": kind, "name": owner, "uid": "u", "controller": true}]},
            "spec": spec, "status": status, "involvedObject": {"kind": "Pod", "name": owner}})
        },
    )
}

fn any_state() -> impl Strategy<Value = EvidenceState> {
    prop::sample::select(vec![
        EvidenceState::Complete,
        EvidenceState::Truncated,
        EvidenceState::Failed,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_objects_are_borne(objects in prop::collection::vec(any_object(), 0..12), log in "[ -~\n]{0,400}", state in any_state()) {
        let list = json!({"kind": "List", "items": objects}).to_string();
        let logs = Command::Logs { namespace: "n".into(), pod: "a".into(), container: "a".into(), previous: false, tail_lines: 10 };
        let all = [evidence(1, get(), list, state), evidence(2, logs, log, EvidenceState::Complete)];
        let case = CaseFile::from_evidence("n", Some(ObjectName::namespaced("Deployment", "n", "a")), "2026-03-01T12:00:00Z".parse().unwrap(), &all);
        let diagnosis = diagnose(&case);
        for finding in &diagnosis.findings {
            prop_assert!(!finding.evidence.is_empty());
            prop_assert!(finding.evidence.iter().all(|id| case.has_evidence(id)));
        }
        prop_assert!(diagnosis.findings.len() <= 32);
    }

    #[test]
    fn any_output_is_borne(output in any::<String>(), state in any_state()) {
        let top = Command::TopPods { namespace: "n".into() };
        let all = [evidence(1, get(), output.clone(), state), evidence(2, top, output, state)];
        diagnose(&CaseFile::from_evidence("n", None, "2026-03-01T12:00:00Z".parse().unwrap(), &all));
    }

    #[test]
    fn any_list_that_is_cut_anywhere_is_borne(objects in prop::collection::vec(any_object(), 1..6), at in any::<prop::sample::Index>()) {
        let mut list = json!({"kind": "List", "items": objects}).to_string();
        list.truncate(list.floor_char_boundary(at.index(list.len())));
        diagnose(&CaseFile::from_evidence("n", None, "2026-03-01T12:00:00Z".parse().unwrap(), &[evidence(1, get(), list, EvidenceState::Truncated)]));
    }

    #[test]
    fn any_line_of_a_log_is_borne(line in any::<String>()) {
        logs::level(&line);
        logs::endpoints(&line);
        logs::line(&line);
    }

    #[test]
    fn a_log_of_any_size_gets_short_and_keeps_whole_lines(lines in prop::collection::vec("[ -~é]{0,60}", 0..200), cap in 0usize..4000) {
        let text = lines.join("\n");
        let short = logs::condense(&text, cap);
        prop_assert!(short.len() <= cap);
        prop_assert!(short.lines().all(|line| lines.iter().any(|known| known == line)));
    }
}
