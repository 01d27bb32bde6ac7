//! Whether a repair helped: what each action was for, rollouts, pods, and the cause itself, one table each.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{UID, evidence, namespace_lists, target};
use firewatch_core::api::status::{Check, PlanStatus};
use firewatch_core::api::{ObjectName, Risk, Role};
use firewatch_core::diagnosis::{CaseFile, Confidence, Depth, Diagnosis, Finding, RootCause, Verdict};
use firewatch_core::remediation::change::{Section, ServiceField};
use firewatch_core::remediation::effects::effect;
use firewatch_core::remediation::objects::belongs;
use firewatch_core::remediation::verify::judge;
use firewatch_core::remediation::{Action, Change, Container};
use firewatch_core::sandbox::command::Command;
use serde_json::{Value, json};

const NOW: &str = "2026-03-01T12:00:00Z";

fn in_shop(mut object: Value) -> Value {
    object["metadata"]["namespace"] = json!("shop");
    object
}

fn case(objects: &[Value]) -> CaseFile {
    let objects: Vec<Value> = objects.iter().cloned().map(in_shop).collect();
    common::case_of("shop", &objects)
}

fn action(api_version: &str, kind: &str, change: Change) -> Action {
    Action::new(target(api_version, kind), change).unwrap()
}

// --- what an action was for ---

fn slice(service: &str, ready: &[Option<bool>]) -> Value {
    let endpoints: Vec<Value> = ready
        .iter()
        .map(|ready| json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}))
        .collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints,
        "metadata": {"name": format!("{service}-{}", ready.len()), "labels": {"kubernetes.io/service-name": service}}})
}

#[test]
fn a_service_is_repaired_when_it_sends_to_a_ready_endpoint_of_its_own() {
    let change = action(
        "v1",
        "Service",
        Change::PatchService {
            field: ServiceField::Selector("app".into()),
            from: "a".into(),
            to: "b".into(),
        },
    );
    for (slices, helps, count) in [
        (vec![], false, 0),
        (vec![slice("checkout", &[Some(false)])], false, 0),
        (vec![slice("other", &[Some(true)])], false, 0),
        (vec![slice("checkout", &[Some(true), Some(false)])], true, 1),
        (
            vec![slice("checkout", &[None]), slice("checkout", &[Some(true), Some(true)])],
            true,
            3,
        ),
    ] {
        let (passed, seen) = effect(&change, &case(&slices)).unwrap();
        assert_eq!(
            (passed, seen),
            (helps, format!("Service/checkout sends to {count} ready endpoint(s)"))
        );
    }
}

#[test]
fn an_autoscaler_is_repaired_when_it_says_that_it_can_scale() {
    let hpa = |conditions: Value| {
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "checkout"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "checkout"}}, "status": {"conditions": conditions, "desiredReplicas": 1}})
    };
    let able = |status: &str| json!([{"type": "ScalingActive", "status": "True"}, {"type": "AbleToScale", "status": status, "message": "so it is"}]);
    for change in [
        Change::PatchHpa {
            field: "maxReplicas".into(),
            from: 3,
            to: 6,
        },
        Change::RetargetHpa {
            from: "Deployment/chekout".into(),
            to: "Deployment/checkout".into(),
        },
    ] {
        let change = action("autoscaling/v2", "HorizontalPodAutoscaler", change);
        for (status, passed) in [("True", true), ("False", false)] {
            assert_eq!(
                effect(&change, &case(&[hpa(able(status))])),
                Some((passed, format!("AbleToScale is {status}: so it is")))
            );
        }
        assert_eq!(effect(&change, &case(&[hpa(json!([]))])), None, "it has not said yet");
        assert_eq!(effect(&change, &case(&[])), None, "it was not read");
    }
}

#[test]
fn a_budget_is_repaired_when_it_lets_a_pod_go_and_a_quota_when_the_new_limit_counts() {
    let change = action(
        "policy/v1",
        "PodDisruptionBudget",
        Change::PatchPdb {
            field: "minAvailable".into(),
            from: "100%".into(),
            to: "1".into(),
        },
    );
    let pdb = |allowed: i32| {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "checkout"}, "spec": {},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}})
    };
    for (allowed, passed) in [(0, false), (1, true)] {
        assert_eq!(
            effect(&change, &case(&[pdb(allowed)])),
            Some((passed, format!("{allowed} disruption(s) allowed")))
        );
    }
    let change = action(
        "v1",
        "ResourceQuota",
        Change::PatchQuota {
            resource: "pods".into(),
            from: "2".into(),
            to: "4".into(),
        },
    );
    let quota = |spec: &Value, status: &Value| json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "checkout"}, "spec": {"hard": spec}, "status": {"hard": status}});
    for (spec, status, passed, seen) in [
        (
            json!({"pods": "4"}),
            json!({"pods": "4"}),
            true,
            "4 is what counts for pods",
        ),
        (
            json!({"pods": "4"}),
            json!({"pods": "2"}),
            false,
            "2 is what counts for pods",
        ),
        (
            json!({"pods": "4"}),
            json!({}),
            false,
            "nothing yet is what counts for pods",
        ),
        (
            json!({"cpu": "4"}),
            json!({"cpu": "4"}),
            false,
            "nothing yet is what counts for pods",
        ),
    ] {
        assert_eq!(
            effect(&change, &case(&[quota(&spec, &status)])),
            Some((passed, seen.to_owned()))
        );
    }
}

#[test]
fn more_memory_has_helped_when_the_new_limit_leaves_room() {
    let limit = |section| {
        action(
            "apps/v1",
            "Deployment",
            Change::SetResources {
                container: Container {
                    name: "app".into(),
                    index: 0,
                    init: false,
                },
                section,
                resource: "memory".into(),
                parent_absent: false,
                from: Some("64Mi".into()),
                to: Some("100Mi".into()),
            },
        )
    };
    let pod = |name: &str, owner: &str| {
        in_shop(json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []},
            "metadata": {"name": name, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": "r"}]}}))
    };
    let with_usage = |top: &str| {
        let list = json!({"kind": "List", "items": [pod("checkout-1-a", "checkout-1"), pod("checkout-1-b", "checkout-1"), pod("other-1-a", "other-1")]});
        let at = NOW.parse().unwrap();
        CaseFile::from_evidence(
            "shop",
            None,
            at,
            &[
                evidence(1, at, namespace_lists("shop"), list.to_string()),
                evidence(
                    2,
                    at,
                    Command::TopPods {
                        namespace: "shop".into(),
                    },
                    top.to_owned(),
                ),
            ],
        )
    };
    for (top, passed, seen) in [
        (
            "checkout-1-a app 1m 40Mi\ncheckout-1-b app 1m 89Mi\n",
            true,
            "89Mi of 100Mi in use",
        ),
        (
            "checkout-1-a app 1m 90Mi\ncheckout-1-b app 1m 40Mi\n",
            false,
            "90Mi of 100Mi in use",
        ),
        (
            "checkout-1-a app 1m 10Mi\nother-1-a app 1m 99Mi\n",
            true,
            "10Mi of 100Mi in use",
        ),
        (
            "checkout-1-a app 1m 10Mi\ncheckout-1-a proxy 1m 99Mi\n",
            true,
            "10Mi of 100Mi in use",
        ),
    ] {
        assert_eq!(
            effect(&limit(Section::Limits), &with_usage(top)),
            Some((passed, seen.to_owned())),
            "{top}"
        );
    }
    assert_eq!(
        effect(&limit(Section::Limits), &with_usage("")),
        None,
        "usage was not read"
    );
    assert_eq!(
        effect(&limit(Section::Requests), &with_usage("checkout-1-a app 1m 99Mi\n")),
        None,
        "a request kills nobody"
    );
}

#[test]
fn a_pod_belongs_to_its_owner_and_to_the_deployment_of_its_replica_set() {
    let pod = |kind: &str, owner: &str| {
        serde_json::from_value(json!({"metadata": {"name": "p", "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u"}]}})).unwrap()
    };
    for (owner_kind, owner, kind, name, own) in [
        ("ReplicaSet", "web-6d4b9", "Deployment", "web", true),
        ("ReplicaSet", "web-api-6d4b9", "Deployment", "web", false),
        ("ReplicaSet", "web", "Deployment", "web", false),
        ("ReplicaSet", "web-6d4b9", "StatefulSet", "web", false),
        ("StatefulSet", "web-0", "Deployment", "web", false),
        ("StatefulSet", "web", "StatefulSet", "web", true),
        ("StatefulSet", "web", "DaemonSet", "web", false),
        ("DaemonSet", "other", "DaemonSet", "web", false),
    ] {
        assert_eq!(
            belongs(&pod(owner_kind, owner), &ObjectName::namespaced(kind, "shop", name)),
            own,
            "{owner_kind}/{owner} of {kind}/{name}"
        );
    }
}

// --- rollouts, pods, the cause ---

fn finding(category: &str, object: ObjectName) -> Finding {
    Finding {
        id: "F1".into(),
        agent: Role::SreInvestigator,
        category: category.into(),
        summary: format!("{category} at {object}"),
        object,
        confidence: Confidence::hundredths(90),
        evidence: vec!["E1".into()],
        depth: Depth::Fault,
        since: None,
        points_to: Vec::new(),
        affects: Vec::new(),
        remedy: None,
        long_term: Vec::new(),
    }
}

fn found(cause: Option<Finding>) -> Diagnosis {
    Diagnosis {
        verdict: cause.as_ref().map_or(Verdict::Healthy, |_| Verdict::Found),
        findings: cause.iter().cloned().collect(),
        root_cause: cause.map(|finding| RootCause {
            finding,
            chain: Vec::new(),
            alternatives: Vec::new(),
            also: Vec::new(),
        }),
        checked: Vec::new(),
        next_steps: Vec::new(),
        concerns: Vec::new(),
    }
}

fn named(kind: &str) -> ObjectName {
    ObjectName::namespaced(kind, "shop", "checkout")
}

#[track_caller]
fn check(checks: &[Check], name: &str) -> (bool, String) {
    let found = checks.iter().find(|check| check.name == name);
    let found = found.unwrap_or_else(|| panic!("{name} is not in {checks:#?}"));
    (found.passed, found.observed.clone())
}

fn checks(kind: &str, objects: &[Value]) -> Vec<Check> {
    let before = found(Some(finding("Broken", named(kind))));
    judge(&before, &found(None), &case(objects), None).checks
}

fn workload(kind: &str, spec: Value, status: &Value) -> Value {
    let mut spec = spec;
    spec["selector"] = json!({});
    spec["template"] = json!({});
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "checkout", "generation": 4, "uid": UID}, "spec": spec, "status": status})
}

#[test]
fn a_rollout_is_over_when_the_last_change_was_seen_and_every_pod_is_new_and_available() {
    let whole = json!({"observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
    let but = |field: &str, value: i64| {
        let mut status = whole.clone();
        status[field] = json!(value);
        status
    };
    for (status, passed) in [
        (whole.clone(), true),
        (but("availableReplicas", 3), true),
        (but("observedGeneration", 3), false),
        (but("observedGeneration", 5), true),
        (but("updatedReplicas", 1), false),
        (but("availableReplicas", 1), false),
        (but("replicas", 3), false),
        (json!({}), false),
    ] {
        let object = workload("Deployment", json!({"replicas": 2}), &status);
        let (is, seen) = check(&checks("Deployment", &[object]), "Deployment/checkout is rolled out");
        assert_eq!(is, passed, "{status}: {seen}");
    }
    let stateful = |current: &str, updated: i64, replicas: i64| {
        json!({"observedGeneration": 4, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": 2,
        "currentRevision": current, "updateRevision": "b"})
    };
    for (status, passed) in [
        (stateful("b", 0, 2), true),
        (stateful("b", 0, 1), false),
        (stateful("a", 2, 2), true),
        (stateful("a", 1, 2), false),
    ] {
        let object = workload("StatefulSet", json!({"replicas": 2, "serviceName": "x"}), &status);
        let (is, seen) = check(&checks("StatefulSet", &[object]), "StatefulSet/checkout is rolled out");
        assert_eq!(is, passed, "{status}: {seen}");
    }
    let daemons = |updated: i64, available: i64| {
        json!({"observedGeneration": 4, "desiredNumberScheduled": 3, "updatedNumberScheduled": updated, "numberAvailable": available,
        "currentNumberScheduled": 3, "numberMisscheduled": 0, "numberReady": available})
    };
    for (status, passed) in [(daemons(3, 3), true), (daemons(2, 3), false), (daemons(3, 2), false)] {
        let object = workload("DaemonSet", json!({}), &status);
        let (is, seen) = check(&checks("DaemonSet", &[object]), "DaemonSet/checkout is rolled out");
        assert_eq!(is, passed, "{status}: {seen}");
    }
    let (is, seen) = check(&checks("Deployment", &[]), "Deployment/checkout is rolled out");
    assert_eq!((is, seen.as_str()), (false, "it could not be read"));
}

#[test]
fn pods_are_still_when_each_has_run_long_enough_since_its_last_start() {
    let pod = |status: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []}, "status": {"containerStatuses": status},
            "metadata": {"name": "checkout-1-a", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-1", "uid": "r"}]}})
    };
    let container = |state: Value, ready: bool, restarts: i32| json!([{"name": "app", "image": "i", "imageID": "", "ready": ready, "restartCount": restarts, "state": state}]);
    let since = |at: &str| json!({"running": {"startedAt": at}});
    let still = "1 pod(s), 0 restart(s), none lately";
    for (status, passed, seen) in [
        (container(since("2026-03-01T11:59:52Z"), true, 0), true, still),
        (
            container(since("2026-03-01T11:59:53Z"), true, 0),
            false,
            "checkout-1-a, app: has run for 7 s only",
        ),
        (
            container(since("2026-03-01T11:59:31Z"), true, 1),
            false,
            "checkout-1-a, app: has run for 29 s only",
        ),
        (
            container(since("2026-03-01T11:59:30Z"), true, 1),
            true,
            "1 pod(s), 1 restart(s), none lately",
        ),
        (
            container(since("2026-03-01T11:00:00Z"), false, 0),
            false,
            "checkout-1-a, app: is not ready",
        ),
        (
            container(json!({"waiting": {"reason": "CrashLoopBackOff"}}), false, 3),
            false,
            "checkout-1-a, app: waits (CrashLoopBackOff)",
        ),
        (
            container(json!({"terminated": {"exitCode": 0}}), false, 0),
            false,
            "checkout-1-a, app: does not run",
        ),
        (json!([]), false, "checkout-1-a has not started"),
    ] {
        let seen_now = check(
            &checks("Deployment", &[pod(status.clone())]),
            "pods of Deployment/checkout are ready and still",
        );
        assert_eq!(seen_now, (passed, seen.to_owned()), "{status}");
    }
    // One that is being deleted counts no more.
    let mut going = pod(container(json!({"waiting": {"reason": "Error"}}), false, 3));
    going["metadata"]["deletionTimestamp"] = json!(NOW);
    let (passed, _) = check(
        &checks("Deployment", &[going]),
        "pods of Deployment/checkout are ready and still",
    );
    assert!(passed);
}

#[test]
fn a_cause_is_gone_only_when_fresh_evidence_could_have_shown_it() {
    let gone = |cause: ObjectName, fresh: Option<Finding>, case: &CaseFile| {
        let before = found(Some(finding("Broken", cause)));
        check(&judge(&before, &found(fresh), case, None).checks, "the cause is gone")
    };
    let seen = case(&[json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "checkout"}})]);
    let map = || named("ConfigMap");
    assert_eq!(
        gone(map(), None, &seen),
        (true, "Broken is no longer found for ConfigMap/checkout".to_owned())
    );
    assert_eq!(
        gone(map(), Some(finding("Broken", map())), &seen),
        (false, "still found: Broken at ConfigMap/checkout".to_owned())
    );
    // Another fault of the object, or the same of another object, is not this one.
    assert!(gone(map(), Some(finding("Other", map())), &seen).0);
    assert!(gone(map(), Some(finding("Broken", named("Service"))), &seen).0);
    let nothing = CaseFile::new("shop", None, NOW.parse().unwrap());
    assert_eq!(
        gone(map(), None, &nothing),
        (false, "ConfigMap/checkout could not be looked at again".to_owned())
    );
    // It was deleted: the whole list shows that.
    assert!(gone(map(), None, &case(&[])).0);
    assert!(gone(ObjectName::namespaced("Service", "elsewhere", "db"), None, &nothing).0);
    assert_eq!(
        check(
            &judge(&found(None), &found(None), &seen, None).checks,
            "the cause is gone"
        ),
        (false, "no cause was known".to_owned())
    );
}

#[test]
fn a_fault_that_was_not_there_before_fails_the_repair_and_a_symptom_does_not() {
    let seen = case(&[json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "checkout"}})]);
    let before = found(Some(finding("Broken", named("ConfigMap"))));
    let new = |fresh: Finding| {
        check(
            &judge(&before, &found(Some(fresh)), &seen, None).checks,
            "nothing new is broken",
        )
    };
    assert_eq!(
        new(finding("Other", named("Service"))),
        (false, "Other at Service/checkout".to_owned())
    );
    assert!(new(finding("Broken", named("ConfigMap"))).0, "that one is known");
    let symptom = Finding {
        depth: Depth::Symptom,
        ..finding("Other", named("Service"))
    };
    assert!(new(symptom).0);
}

#[test]
fn a_change_that_something_reverted_is_not_in_place() {
    let scale = action("apps/v1", "Deployment", Change::Scale { from: 0, to: 2 });
    let plan = PlanStatus {
        revision: 1,
        digest: String::new(),
        risk: Risk::Low,
        summary: String::new(),
        actions: vec![scale.to_planned("A1", &[], None)],
        long_term_fixes: Vec::new(),
        manual_reason: None,
        estimated_resolution_seconds: 0,
        expires_at: None,
    };
    for (replicas, passed) in [(2, true), (0, false), (5, false)] {
        let object = workload("Deployment", json!({"replicas": replicas}), &json!({}));
        let before = found(Some(finding("Broken", named("Deployment"))));
        let checks = judge(&before, &found(None), &case(&[object]), Some(&plan)).checks;
        assert_eq!(check(&checks, "A1 is in place").0, passed, "{replicas}");
    }
}
