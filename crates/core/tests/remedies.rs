//! What each remedy comes to: exact actions where evidence fixes the value, and else the sentence that says what a person must do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use firewatch_core::api::{ActionType, ObjectName};
use firewatch_core::diagnosis::remedy::{ContainerRef, KnownValue, Probe, Remedy};
use firewatch_core::diagnosis::{CaseFile, Depth, Diagnosis, Finding, RootCause, diagnose};
use firewatch_core::remediation::plan::{PlanningContext, plan};
use firewatch_core::remediation::remedies::{Nodes, Proposal, Reach, propose};
use firewatch_core::remediation::{Action, effects};
use serde_json::{Value, json};

fn case(objects: &[Value]) -> CaseFile {
    let mut objects = objects.to_vec();
    for (index, object) in objects.iter_mut().enumerate() {
        object["metadata"]["uid"] = json!(format!("u{index}"));
        object["metadata"]["generation"] = json!(1);
        if object["kind"] != "Node" {
            object["metadata"]["namespace"] = json!("shop");
        }
    }
    common::case_of("shop", &objects)
}

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {}, "template": {"spec": spec}}})
}

fn named(kind: &str, name: &str) -> ObjectName {
    ObjectName::namespaced(kind, "shop", name)
}

fn app() -> ContainerRef {
    ContainerRef {
        workload: named("Deployment", "web"),
        container: "app".into(),
    }
}

fn known(value: &str) -> KnownValue {
    KnownValue {
        value: value.into(),
        source: "ConfigMap/settings".into(),
        evidence: vec!["E1".into()],
    }
}

fn reach(nodes: Nodes) -> Reach {
    Reach {
        namespace: "shop".into(),
        nodes,
    }
}

fn actions(remedy: &Remedy, case: &CaseFile) -> Vec<Action> {
    match propose(remedy, case, &reach(Nodes::Off)) {
        Proposal::Actions { actions, .. } => actions,
        other => panic!("{other:?}"),
    }
}

fn manual(remedy: &Remedy, case: &CaseFile) -> String {
    match propose(remedy, case, &reach(Nodes::Off)) {
        Proposal::Manual { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn raise(to: &str) -> Remedy {
    Remedy::Resources {
        container: app(),
        field: "limits.memory".into(),
        from: Some("64Mi".into()),
        to: Some(to.into()),
    }
}

fn limited() -> Value {
    deployment(&json!({"containers": [{"name": "app", "resources": {"limits": {"memory": "64Mi"}}}]}))
}

#[test]
fn every_reference_to_a_mistyped_configmap_is_put_right_and_an_optional_one_is_left() {
    let case = case(&[deployment(&json!({
        "initContainers": [{"name": "prepare", "envFrom": [{"configMapRef": {"name": "setings"}}]}],
        "containers": [{"name": "app", "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "setings", "key": "LEVEL"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "setings", "key": "MODE", "optional": true}}},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "other", "key": "LEVEL"}}},
        ]}],
        "volumes": [{"name": "config", "configMap": {"name": "setings"}}],
    }))]);
    let remedy = Remedy::ConfigMapReference {
        workload: named("Deployment", "web"),
        config_map: "setings".into(),
        key: None,
        to: Some(known("settings")),
    };
    let said: Vec<String> = actions(&remedy, &case).iter().map(Action::summary).collect();
    assert_eq!(
        said,
        [
            "let the environment (prepare) of Deployment/web read ConfigMap settings instead of setings",
            "let A (app) of Deployment/web read ConfigMap settings/LEVEL instead of setings/LEVEL",
            "let the volume config of Deployment/web read ConfigMap settings instead of setings",
        ]
    );
}

#[test]
fn a_mistyped_key_is_put_right_where_it_is_named_and_nowhere_else() {
    let case = case(&[deployment(&json!({"containers": [{"name": "app", "env": [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "LEVLE"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "LEVEL"}}},
    ]}]}))]);
    let remedy = Remedy::ConfigMapReference {
        workload: named("Deployment", "web"),
        config_map: "settings".into(),
        key: Some("LEVLE".into()),
        to: Some(known("LEVEL")),
    };
    let [one] = actions(&remedy, &case).try_into().unwrap();
    assert_eq!(
        one.operations().last().unwrap().path,
        "/spec/template/spec/containers/0/env/0/valueFrom/configMapKeyRef/key"
    );
}

#[test]
fn more_memory_is_planned_only_where_it_has_room() {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "status": {"allocatable": {"memory": "1Gi"}}});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "status": {"hard": {"limits.memory": "300Mi"}, "used": {"limits.memory": "128Mi"}}});
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "100Mi"}}]}});
    assert_eq!(
        actions(&raise("128Mi"), &case(&[limited(), node.clone(), quota.clone()])).len(),
        1
    );
    for (objects, to, said) in [
        (vec![limited(), node], "2Gi", "Node/n1, the largest, has 1Gi"),
        (
            vec![limited(), quota],
            "192Mi",
            "ResourceQuota/q allows limits.memory of 300Mi in all, and 128Mi are used",
        ),
        (vec![limited(), range], "128Mi", "LimitRange/r allows a container 100Mi"),
    ] {
        let reason = manual(&raise(to), &case(&objects));
        assert!(reason.contains(said) && reason.contains("a person must"), "{reason}");
    }
}

#[test]
fn what_no_evidence_fixes_says_what_a_person_must_supply() {
    let case = case(&[limited()]);
    let empty: [(Remedy, &str); 4] = [
        (
            Remedy::ProbeField {
                container: app(),
                probe: Probe::ReadinessProbe,
                field: "httpGet.path".into(),
                from: "/".into(),
                to: None,
            },
            "httpGet.path of the readinessProbe of app",
        ),
        (
            Remedy::ConfigMapReference {
                workload: named("Deployment", "web"),
                config_map: "gone".into(),
                key: None,
                to: None,
            },
            "Deployment/web refers to ConfigMap gone",
        ),
        (
            Remedy::HpaTarget {
                hpa: named("HorizontalPodAutoscaler", "web"),
                from: "Deployment/wbe".into(),
                to: None,
            },
            "the workload that HorizontalPodAutoscaler/web should scale",
        ),
        (
            Remedy::Resources {
                container: app(),
                field: "requests.cpu".into(),
                from: None,
                to: None,
            },
            "requests.cpu of Deployment/web",
        ),
    ];
    for (remedy, said) in empty {
        let reason = manual(&remedy, &case);
        assert!(
            reason.contains(said) && reason.contains("a person must supply"),
            "{reason}"
        );
    }
}

#[test]
fn a_node_is_planned_for_only_where_the_right_is_given_and_the_incident_is_the_operators() {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {"unschedulable": true}});
    let case = case(&[node]);
    let remedy = Remedy::UncordonNode {
        node: ObjectName::cluster("Node", "n1"),
    };
    for (nodes, said) in [
        (Nodes::Off, "chart value remediation.nodes"),
        (Nodes::OnlyFrom("ops".into()), "only an incident in namespace ops"),
    ] {
        let Proposal::Manual { reason, .. } = propose(&remedy, &case, &reach(nodes)) else {
            panic!("it was planned");
        };
        assert!(
            reason.contains(said) && reason.contains("kubectl uncordon n1"),
            "{reason}"
        );
    }
    let Proposal::Actions { actions, .. } = propose(&remedy, &case, &reach(Nodes::Allowed)) else {
        panic!("it was not planned");
    };
    assert_eq!(actions[0].action_type(), ActionType::UncordonNode);
}

fn diagnosis(remedy: Remedy) -> Diagnosis {
    let finding: Finding = serde_json::from_value(json!({
        "id": "F1", "agent": "sre-investigator", "category": "OutOfMemory", "summary": "it is killed",
        "object": {"kind": "Deployment", "namespace": "shop", "name": "web"}, "confidence": 90, "evidence": ["E1"],
    }))
    .unwrap();
    let mut diagnosis = diagnose(&case(&[]));
    diagnosis.root_cause = Some(RootCause {
        finding: Finding {
            depth: Depth::Fault,
            remedy: Some(remedy),
            ..finding
        },
        chain: Vec::new(),
        alternatives: Vec::new(),
        also: Vec::new(),
    });
    diagnosis
}

fn context(allowed: &[ActionType]) -> PlanningContext {
    PlanningContext {
        reach: reach(Nodes::Off),
        revision: 1,
        feedback: None,
        allowed_actions: allowed.to_vec(),
    }
}

#[test]
fn the_way_back_comes_before_a_value_that_is_only_likely() {
    let back = Remedy::BadRevision {
        workload: named("Deployment", "web"),
        from_revision: 2,
        to_revision: 1,
        diff: "image".into(),
    };
    let both = diagnosis(back.or(Some(raise("128Mi"))));
    let first = |allowed: &[ActionType]| plan(&both, &case(&[limited()]), &context(allowed)).actions[0].action_type;
    assert_eq!(first(&[]), ActionType::RollbackRollout);
    assert_eq!(first(&[ActionType::SetResources]), ActionType::SetResources);
}

#[test]
fn relief_is_labelled_as_relief() {
    let relief = Remedy::Relief {
        remedy: Box::new(raise("128Mi")),
        reason: "its memory grows without end".into(),
    };
    let plan = plan(&diagnosis(relief), &case(&[limited()]), &context(&[]));
    assert_eq!(plan.actions[0].action_type, ActionType::SetResources);
    assert!(
        plan.actions[0]
            .diff
            .as_deref()
            .unwrap()
            .starts_with("Relief, not a repair")
    );
    assert!(
        plan.long_term_fixes
            .iter()
            .any(|fix| fix.contains("relief, not a repair") && fix.contains("grows without end")),
        "{:?}",
        plan.long_term_fixes
    );
}

#[test]
fn rights_and_policies_are_written_down_for_people_and_never_applied() {
    let remedy = Remedy::Manifest {
        instruction: "let a person give the right".into(),
        manifest: "kind: Role".into(),
    };
    let plan = plan(&diagnosis(remedy), &case(&[]), &context(&[]));
    assert!(plan.actions.is_empty());
    assert_eq!(plan.manual_reason.as_deref(), Some("let a person give the right"));
    assert_eq!(plan.long_term_fixes[0], "let a person give the right:\nkind: Role");
}

#[test]
fn a_service_that_was_pointed_elsewhere_is_repaired_only_when_it_sends_to_ready_pods() {
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {"selector": {"app": "bd"}}});
    let remedy = Remedy::ServiceSelector {
        service: named("Service", "db"),
        key: "app".into(),
        from: "bd".into(),
        to: Some("db".into()),
    };
    let [action] = actions(&remedy, &case(&[service])).try_into().unwrap();
    let slice = |ready: bool| {
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "db-1", "labels": {"kubernetes.io/service-name": "db"}},
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]})
    };
    for (objects, holds) in [(vec![], false), (vec![slice(false)], false), (vec![slice(true)], true)] {
        assert_eq!(effects::effect(&action, &case(&objects)).unwrap().0, holds);
    }
}
