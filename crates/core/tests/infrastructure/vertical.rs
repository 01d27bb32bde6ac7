//! Autoscalers of requests (VPA): what they do to an HPA, to nodes, to a program's memory and to an only replica; and what only looks so.

use firewatch_core::api::ObjectName;
use firewatch_core::diagnosis::{CaseFile, questions, view};
use firewatch_core::sandbox::command::{Command, Resource, Scope};
use firewatch_core::sandbox::evidence::EvidenceState;
use serde_json::{Value, json};

use crate::case::{App, Case, LONG_AGO, NOW, NS, node, with};
use crate::common;

const APP: (&str, &str) = ("Deployment", "store");
const VPA: &str = "VerticalPodAutoscaler/store-vpa";

fn vpa(fields: Value) -> Value {
    with(
        json!({"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler",
            "metadata": {"name": "store-vpa", "namespace": NS, "creationTimestamp": LONG_AGO},
            "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "store"}, "updatePolicy": {"updateMode": "Auto"}}}),
        fields,
    )
}

fn policy(fields: Value) -> Value {
    let policy = with(json!({"containerName": "*"}), fields);
    vpa(json!({"spec": {"resourcePolicy": {"containerPolicies": [policy]}}}))
}

fn hpa(target: Value) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "store", "namespace": NS, "creationTimestamp": LONG_AGO},
        "spec": {"minReplicas": 1, "maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "store"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]},
        "status": {"currentReplicas": 1, "desiredReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": "True"}]}})
}

fn utilization() -> Value {
    hpa(json!({"type": "Utilization", "averageUtilization": 70}))
}

fn sized(cpu: &str, memory: &str) -> Value {
    json!({"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}})
}

fn store() -> App {
    App::new("store").container(sized("200m", "256Mi"))
}

fn swinging(case: Case) -> Case {
    [5, 2, 6].iter().fold(case, |case, size| {
        let message =
            format!("New size: {size}; reason: cpu resource utilization (percentage of request) above target");
        case.event(
            "HorizontalPodAutoscaler",
            "store",
            "Normal",
            "SuccessfulRescale",
            &message,
        )
    })
}

#[test]
fn a_vpa_and_an_hpa_on_the_same_resource_undo_each_others_work() {
    let both = |vpa: Value, hpa: Value| swinging(store().alone().with(vpa).with(hpa));
    both(vpa(json!({})), utilization()).expect(APP, "VpaAndHpaConflict", VPA, &["cpu", "replicas go up and down"]);
    for (alike, vpa, hpa) in [
        (
            "it only recommends",
            vpa(json!({"spec": {"updatePolicy": {"updateMode": "Off"}}})),
            utilization(),
        ),
        (
            "another resource",
            policy(json!({"controlledResources": ["memory"]})),
            utilization(),
        ),
        ("not this container", policy(json!({"mode": "Off"})), utilization()),
        (
            "an absolute value",
            vpa(json!({})),
            hpa(json!({"type": "AverageValue", "averageValue": "300m"})),
        ),
        (
            "another workload",
            vpa(json!({"spec": {"targetRef": {"name": "other"}}})),
            utilization(),
        ),
    ] {
        let case = both(vpa, hpa);
        let diagnosis = case.read(APP.0, APP.1);
        let claimed = diagnosis
            .findings
            .iter()
            .any(|finding| finding.category == "VpaAndHpaConflict");
        assert!(!claimed, "{alike}: {:#?}", diagnosis.findings);
    }
    // Both are there and nothing comes of it.
    store()
        .alone()
        .with(vpa(json!({})))
        .with(utilization())
        .healthy(APP.0, APP.1);
}

#[test]
fn requests_that_a_vpa_raised_beyond_every_node_keep_its_pods_pending() {
    let pending = |memory: &str, written: bool| {
        let message = "0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
        let case = store()
            .unscheduled(message)
            .alone()
            .warning("Pod", "store-6d4b9-x7k2p", "FailedScheduling", message)
            .cluster(node("node-a", json!({})))
            .cluster(node("node-b", json!({})))
            .with(vpa(json!({})));
        let annotations = if written {
            json!({"vpaUpdates": "Pod resources updated by store-vpa: container 0: memory request"})
        } else {
            json!({})
        };
        let container = with(crate::case::container(), sized("200m", memory));
        case.change(
            "Pod",
            "store-6d4b9-x7k2p",
            json!({"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}),
        )
    };
    pending("12Gi", true).expect(APP, "VpaRecommendsTooMuch", VPA, &["12Gi", "8Gi", "256Mi"]);
    // Written by nobody but the template, or what a node would have.
    pending("12Gi", false).expect(APP, "InsufficientResources", "Deployment/store", &["memory"]);
    pending("6Gi", true).expect(APP, "InsufficientResources", "Deployment/store", &["memory"]);
    // The template itself asks for too much.
    pending("12Gi", true)
        .change("Deployment", "store", json!({"spec": {"template": {"spec": {"containers": [with(crate::case::container(), sized("200m", "12Gi"))]}}}}))
        .never(APP, "VpaRecommendsTooMuch");
}

#[test]
fn a_cap_below_what_is_needed_is_the_cause_of_the_kills() {
    let recommended = |policies: Value, target: &str, uncapped: &str| {
        with(
            policy(policies),
            json!({"status": {"recommendation": {"containerRecommendations": [{"containerName": "app",
                "target": {"cpu": "200m", "memory": target}, "uncappedTarget": {"cpu": "200m", "memory": uncapped}}]}}}),
        )
    };
    let killed = |vpa: Value| {
        store().crashing(137, "OOMKilled", "").alone().with(vpa).change(
            "Pod",
            "store-6d4b9-x7k2p",
            json!({"metadata": {"annotations": {"vpaUpdates": "Pod resources updated by store-vpa"}}}),
        )
    };
    let cap = || json!({"maxAllowed": {"memory": "256Mi"}});
    killed(recommended(cap(), "256Mi", "700Mi")).expect(APP, "VpaCapTooLow", VPA, &["256Mi", "700Mi"]);
    for (alike, vpa) in [
        (
            "it leaves limits alone",
            recommended(
                with(cap(), json!({"controlledValues": "RequestsOnly"})),
                "256Mi",
                "700Mi",
            ),
        ),
        ("the cap is not reached", recommended(cap(), "200Mi", "200Mi")),
        ("there is no cap", recommended(json!({}), "256Mi", "256Mi")),
        ("it recommends nothing yet", policy(cap())),
        (
            "it only recommends",
            with(
                recommended(cap(), "256Mi", "700Mi"),
                json!({"spec": {"updatePolicy": {"updateMode": "Off"}}}),
            ),
        ),
    ] {
        let cause = killed(vpa).cause(APP.0, APP.1);
        assert_eq!(cause.category, "OutOfMemory", "{alike}: {}", cause.summary);
    }
}

#[test]
fn an_only_replica_that_a_vpa_evicts_again_and_again_is_not_served_by_it() {
    let evicted = |replicas: i32, mode: &str| {
        store()
            .replicas(replicas)
            .alone()
            .with(vpa(
                json!({"spec": {"updatePolicy": {"updateMode": mode, "minReplicas": 1}}}),
            ))
            .event(
                "Pod",
                "store-6d4b9-zzzzz",
                "Normal",
                "EvictedByVPA",
                "Pod was evicted by VPA Updater to apply resource recommendation.",
            )
    };
    evicted(1, "Recreate").expect(APP, "VpaEvictsOnlyReplica", VPA, &["only replica", "7 times"]);
    evicted(3, "Recreate").never(APP, "VpaEvictsOnlyReplica");
    evicted(1, "Initial").never(APP, "VpaEvictsOnlyReplica");
    // Another workload's pods.
    store()
        .alone()
        .with(vpa(json!({})))
        .event(
            "Pod",
            "storefront-6d4b9-zzzzz",
            "Normal",
            "EvictedByVPA",
            "Pod was evicted by VPA Updater to apply resource recommendation.",
        )
        .never(APP, "VpaEvictsOnlyReplica");
}

#[test]
fn a_vpa_that_is_not_as_it_should_be_is_left_alone() {
    for odd in [
        json!({"spec": null}),
        json!({"spec": {"targetRef": "store"}}),
        json!({"spec": {"targetRef": {"kind": 7, "name": []}}}),
        json!({"spec": {"updatePolicy": [], "resourcePolicy": {"containerPolicies": {"a": 1}}}, "status": 3}),
        json!({"status": {"recommendation": {"containerRecommendations": [null, {"containerName": 4}]}}}),
    ] {
        store().alone().with(vpa(odd)).healthy(APP.0, APP.1);
    }
}

#[test]
fn the_kind_is_asked_for_only_where_something_shows_it_and_its_absence_is_no_gap() {
    let asked = |case: &Case| {
        let file = CaseFile::from_evidence(
            NS,
            Some(ObjectName::namespaced(APP.0, NS, APP.1)),
            NOW.parse().unwrap(),
            &case.evidence(),
        );
        let view = view(&file);
        questions::vertical_autoscalers(&view.facts)
    };
    assert_eq!(asked(&store().alone()), []);
    let command = Command::Get {
        resources: vec![Resource::VerticalPodAutoscalers],
        scope: Scope::Namespace(NS.to_owned()),
        name: None,
    };
    let written = store().alone().change(
        "Pod",
        "store-6d4b9-x7k2p",
        json!({"metadata": {"annotations": {"vpaObservedContainers": "app"}}}),
    );
    assert_eq!(asked(&written), vec![command.clone()]);

    for (output, gaps) in [
        (
            "error: the server doesn't have a resource type \"verticalpodautoscalers\"",
            0,
        ),
        (
            "Error from server (Forbidden): verticalpodautoscalers.autoscaling.k8s.io is forbidden",
            1,
        ),
    ] {
        let mut evidence = common::evidence(90, NOW.parse().unwrap(), command.clone(), output.to_owned());
        evidence.state = EvidenceState::Failed;
        let case = CaseFile::from_evidence(NS, None, NOW.parse().unwrap(), &[evidence]);
        assert_eq!(case.gaps().len(), gaps, "{output}");
    }
}
