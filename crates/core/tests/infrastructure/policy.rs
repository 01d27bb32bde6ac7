//! What the API server refuses, and budgets that hold a drain.

use serde_json::json;

use crate::case::{App, Case, node};

const APP: (&str, &str) = ("Deployment", "store");

fn refused(message: &str) -> Case {
    let mut app = App::new("store").without_pods();
    app.ready = false;
    app.alone().warning(
        "ReplicaSet",
        "store-6d4b9",
        "FailedCreate",
        &format!("Error creating: {message}"),
    )
}

#[test]
fn every_refusal_of_the_api_server_has_its_name() {
    for (message, category, words) in [
        (
            "pods \"store-6d4b9-\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"app\" must set securityContext.allowPrivilegeEscalation=false)",
            "PodSecurityViolated",
            "allowPrivilegeEscalation",
        ),
        (
            "admission webhook \"validate.kyverno.svc-fail\" denied the request: policy require-labels: label team is required",
            "RefusedByWebhook",
            "require-labels",
        ),
        (
            "Internal error occurred: failed calling webhook \"sidecar.example.com\": failed to call webhook: Post \"https://injector.mesh.svc:443/inject?timeout=10s\": no endpoints available for service \"injector\"",
            "WebhookFails",
            "no endpoints available",
        ),
        (
            "Internal error occurred: failed calling webhook \"sidecar.example.com\": failed to call webhook: Post \"https://injector.mesh.svc:443/inject?timeout=10s\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
            "WebhookFails",
            "certificate has expired",
        ),
        (
            "pods \"store-6d4b9-x\" is forbidden: ValidatingAdmissionPolicy 'limits-required' with binding 'limits-binding' denied request: every container must set limits.memory",
            "RefusedByAdmissionPolicy",
            "limits-required",
        ),
        (
            "pods \"store-6d4b9-\" is forbidden: error looking up service account market/store-sa: serviceaccount \"store-sa\" not found",
            "ServiceAccountMissing",
            "store-sa",
        ),
        (
            "pods \"store-6d4b9-\" is forbidden: no PriorityClass with name gold was found",
            "PriorityClassMissing",
            "gold",
        ),
        (
            "pods \"store-6d4b9-\" is forbidden: pod rejected: RuntimeClass \"gvisor\" not found",
            "RuntimeClassMissing",
            "gvisor",
        ),
        (
            "pods \"store-6d4b9-x\" is forbidden: maximum memory usage per Container is 512Mi, but limit is 1Gi",
            "LimitRangeViolated",
            "512Mi",
        ),
        (
            "pods \"store-6d4b9-x\" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000",
            "LimitRangeViolated",
            "ratio",
        ),
        (
            "Pod \"store-6d4b9-x\" is invalid: spec.containers[0].resources.requests: Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi",
            "RequestsAboveLimits",
            "memory limit of 1Gi",
        ),
        (
            "pods \"store-6d4b9-\" is forbidden: unable to create new content in namespace market because it is being terminated",
            "NamespaceTerminating",
            "terminated",
        ),
        (
            "pods \"store-6d4b9-\" is forbidden: failed quota: compute: must specify limits.cpu for: app; requests.cpu for: app",
            "QuotaNeedsResources",
            "limits.cpu",
        ),
    ] {
        refused(message).expect(APP, category, "Deployment/store", &[words]);
    }
    refused("pods \"store-6d4b9-x\" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=5, limited: pods=5").expect(
        APP,
        "QuotaExceeded",
        "ResourceQuota/compute",
        &["pods is limited to 5"],
    );
}

#[test]
fn a_quota_that_has_room_again_is_no_cause_any_more() {
    let case = |used: &str| {
        refused("pods \"store-6d4b9-x\" is forbidden: exceeded quota: compute, requested: requests.cpu=100m, used: requests.cpu=450m, limited: requests.cpu=500m")
            .with(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "compute", "namespace": "market"},
                "spec": {"hard": {"requests.cpu": "500m"}}, "status": {"hard": {"requests.cpu": "500m"}, "used": {"requests.cpu": used}}}))
    };
    case("450m").expect(APP, "QuotaExceeded", "ResourceQuota/compute", &["used up"]);
    let read = case("400m").read("Deployment", "store");
    assert!(read.root_cause.is_none(), "{:?}", read.root_cause);
    assert!(
        read.findings
            .iter()
            .any(|finding| finding.summary.contains("has room again")),
        "{:#?}",
        read.findings
    );
}

#[test]
fn where_the_events_are_gone_the_condition_of_the_deployment_says_it() {
    let mut app = App::new("store").without_pods();
    app.ready = false;
    let case = app.alone();
    let mut refused = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "store", "namespace": "market", "uid": "d-store", "creationTimestamp": "2026-05-04T08:00:00Z"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "store"}},
            "template": {"metadata": {"labels": {"app": "store"}}, "spec": {"containers": [crate::case::container()]}}}});
    refused["status"] = json!({"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"store-6d4b9-x\" is forbidden: no PriorityClass with name gold was found"}]});
    case.with(refused)
        .expect(APP, "PriorityClassMissing", "Deployment/store", &["gold"]);
}

#[test]
fn a_service_account_that_is_nearly_right_is_shown() {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "store-account", "namespace": "market"}});
    let mut app = App::new("store")
        .spec(json!({"serviceAccountName": "store-acount"}))
        .without_pods();
    app.ready = false;
    app.alone()
        .with(account)
        .warning("ReplicaSet", "store-6d4b9", "FailedCreate", "Error creating: pods \"store-6d4b9-\" is forbidden: error looking up service account market/store-acount: serviceaccount \"store-acount\" not found")
        .expect(APP, "ServiceAccountMissing", "Deployment/store", &["store-account exists"]);
}

fn budget() -> serde_json::Value {
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "store", "namespace": "market"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "store"}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}})
}

#[test]
fn a_budget_is_trouble_while_its_node_is_drained_and_not_before() {
    App::new("store")
        .alone()
        .with(budget())
        .cluster(node("node-a", json!({"spec": {"unschedulable": true}})))
        .expect(
            APP,
            "BudgetBlocksDisruption",
            "PodDisruptionBudget/store",
            &["node-a is cordoned"],
        );
    App::new("store")
        .alone()
        .with(budget())
        .cluster(node("node-a", json!({})))
        .healthy("Deployment", "store");
}
