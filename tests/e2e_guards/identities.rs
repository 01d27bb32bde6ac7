//! What each identity may do at all, asked of the API server: the rights that the chart gives, and those that it must not.

use serde_json::{Value, json};

use crate::wire::{EXECUTOR, OPERATOR, SANDBOX, Who, client, namespace, post, remove, send};

const SRE: &str = "system:serviceaccount:firewatch-sandbox:sre-investigator";
const ANALYST: &str = "system:serviceaccount:firewatch-sandbox:code-analyst";
const ANALYZE: &str = "system:serviceaccount:firewatch-sandbox:analyze";

/// verb, group, resource (with subresource), namespace ("" for the cluster, "own" for a namespace that opted in)
type Right = (&'static str, &'static str, &'static str, &'static str);

const OPERATOR_MAY: &[Right] = &[
    ("list", "firewatch.dev", "incidents", ""),
    ("create", "firewatch.dev", "incidents", "own"),
    ("patch", "firewatch.dev", "incidents/status", "own"),
    ("create", "firewatch.dev", "remediationapprovals", "own"),
    ("list", "firewatch.dev", "responsepolicies", ""),
    ("create", "batch", "jobs", SANDBOX),
    ("get", "", "pods/log", SANDBOX),
    ("create", "", "configmaps", SANDBOX),
    ("create", "events.k8s.io", "events", "own"),
    ("create", "coordination.k8s.io", "leases", "firewatch-system"),
    ("get", "admissionregistration.k8s.io", "validatingadmissionpolicies", ""),
];
const OPERATOR_MAY_NOT: &[Right] = &[
    ("create", "", "pods", SANDBOX),
    ("create", "", "pods/exec", SANDBOX),
    ("update", "", "pods/ephemeralcontainers", SANDBOX),
    ("update", "", "pods", SANDBOX),
    ("create", "", "serviceaccounts/token", SANDBOX),
    ("get", "", "secrets", SANDBOX),
    ("create", "", "secrets", SANDBOX),
    ("create", "", "services", SANDBOX),
    ("update", "", "configmaps", SANDBOX),
    ("delete", "", "resourcequotas", SANDBOX),
    ("create", "rbac.authorization.k8s.io", "rolebindings", SANDBOX),
    ("get", "", "pods", "own"),
    ("get", "", "secrets", "own"),
    ("get", "", "configmaps", "own"),
    ("patch", "apps", "deployments", "own"),
    ("patch", "", "services", "own"),
    ("delete", "firewatch.dev", "remediationapprovals", "own"),
    ("delete", "firewatch.dev", "incidents", "own"),
    ("update", "firewatch.dev", "responsepolicies", ""),
    (
        "update",
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        "",
    ),
    (
        "delete",
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        "",
    ),
    ("update", "apiextensions.k8s.io", "customresourcedefinitions", ""),
    ("bind", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("impersonate", "", "users", ""),
];
const EXECUTOR_MAY: &[Right] = &[
    ("get", "firewatch.dev", "remediationapprovals", "own"),
    ("patch", "firewatch.dev", "remediationapprovals/status", "own"),
    ("list", "firewatch.dev", "responsepolicies", ""),
    ("patch", "apps", "deployments", "own"),
    ("patch", "", "configmaps", "own"),
    ("patch", "", "services", "own"),
    ("patch", "autoscaling", "horizontalpodautoscalers", "own"),
    ("patch", "batch", "cronjobs", "own"),
];
const EXECUTOR_MAY_NOT: &[Right] = &[
    ("patch", "apps", "deployments", "default"),
    ("patch", "", "configmaps", "kube-system"),
    ("create", "apps", "deployments", "own"),
    ("delete", "apps", "deployments", "own"),
    ("delete", "", "pods", "own"),
    ("get", "", "secrets", "own"),
    ("patch", "firewatch.dev", "remediationapprovals", "own"),
    ("create", "firewatch.dev", "remediationapprovals", "own"),
    ("patch", "firewatch.dev", "responsepolicies", ""),
    ("create", "", "pods/exec", "own"),
    ("patch", "", "nodes", ""),
    ("create", "rbac.authorization.k8s.io", "rolebindings", "own"),
];
const SRE_MAY: &[Right] = &[
    ("list", "", "pods", "own"),
    ("get", "", "pods/log", "own"),
    ("list", "", "events", "own"),
    ("list", "", "configmaps", "own"),
    ("list", "apps", "replicasets", "own"),
    ("list", "discovery.k8s.io", "endpointslices", "own"),
    ("list", "", "nodes", ""),
    ("list", "storage.k8s.io", "storageclasses", ""),
];
const READERS_MAY_NOT: &[Right] = &[
    ("get", "", "secrets", "own"),
    ("list", "", "secrets", ""),
    ("patch", "apps", "deployments", "own"),
    ("delete", "", "pods", "own"),
    ("create", "", "pods", "own"),
    ("create", "", "pods/exec", "own"),
    ("create", "", "pods/portforward", "own"),
    ("get", "firewatch.dev", "remediationapprovals", "own"),
    ("patch", "firewatch.dev", "incidents/status", "own"),
];
const ANALYST_MAY: &[Right] = &[
    ("get", "", "pods/log", "own"),
    ("list", "", "configmaps", "own"),
    ("list", "apps", "replicasets", "own"),
];
const ANALYST_MAY_NOT: &[Right] = &[
    ("list", "", "nodes", ""),
    ("list", "", "services", "own"),
    ("list", "rbac.authorization.k8s.io", "roles", "own"),
];
const ANALYZE_MAY_NOT: &[Right] = &[
    ("list", "", "pods", "own"),
    ("get", "", "configmaps", SANDBOX),
    ("get", "", "pods/log", "own"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_identity_may_what_it_needs_and_no_more() {
    let client = client().await;
    let own = namespace(&client, "guards-rights").await;
    let mut wrong = Vec::new();
    let rows: [(&str, bool, &[Right]); 11] = [
        (OPERATOR, true, OPERATOR_MAY),
        (OPERATOR, false, OPERATOR_MAY_NOT),
        (EXECUTOR, true, EXECUTOR_MAY),
        (EXECUTOR, false, EXECUTOR_MAY_NOT),
        (SRE, true, SRE_MAY),
        (SRE, false, READERS_MAY_NOT),
        (ANALYST, true, ANALYST_MAY),
        (ANALYST, false, READERS_MAY_NOT),
        (ANALYST, false, ANALYST_MAY_NOT),
        (ANALYZE, false, READERS_MAY_NOT),
        (ANALYZE, false, ANALYZE_MAY_NOT),
    ];
    for (who, expected, rights) in rows {
        for (verb, group, resource, place) in rights {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let place = if *place == "own" { own.as_str() } else { place };
            let review = json!({ "spec": { "user": who, "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": { "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": place } } });
            let answer: Value = send(
                &client,
                Who::Admin,
                &post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review),
            )
            .await
            .unwrap();
            if answer["status"]["allowed"] != json!(expected) {
                wrong.push(format!(
                    "{who}: {verb} {resource}/{subresource} in '{place}': allowed must be {expected}"
                ));
            }
        }
    }
    remove(&client, &own).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
