//! What each identity may do at all, asked of the API server: the rights that the chart gives, and those that it must not.

use std::collections::BTreeSet;

use firewatch_core::api::Role;
use firewatch_core::sandbox::command::Resource;
use firewatch_core::sandbox::permissions::Permissions;
use kube::Client;
use serde_json::{Value, json};

use crate::wire::{EXECUTOR, OPERATOR, SANDBOX, Who, client, groups_of, namespace, post, remove, send};

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

/// Asked of every identity: nobody gives rights away, borrows them, or reads a Secret.
const NOBODY_MAY: &[Right] = &[
    ("create", "rbac.authorization.k8s.io", "roles", SANDBOX),
    ("create", "rbac.authorization.k8s.io", "rolebindings", "own"),
    ("create", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings", ""),
    ("patch", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("bind", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("escalate", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("bind", "rbac.authorization.k8s.io", "roles", "own"),
    ("escalate", "rbac.authorization.k8s.io", "roles", "own"),
    ("impersonate", "", "users", ""),
    ("impersonate", "", "serviceaccounts", SANDBOX),
    ("create", "", "serviceaccounts/token", SANDBOX),
    ("get", "", "secrets", "own"),
    ("get", "", "secrets", "firewatch-system"),
    ("list", "", "secrets", ""),
    ("patch", "", "namespaces", ""),
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
    ("patch", "apiextensions.k8s.io", "customresourcedefinitions", ""),
    ("delete", "firewatch.dev", "remediationapprovals", "own"),
    ("delete", "firewatch.dev", "incidents", "own"),
    ("*", "*", "*", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_identity_may_what_it_needs_and_no_more() {
    let client = client().await;
    let own = namespace(&client, "guards-rights").await;
    let mut wrong = Vec::new();
    let rows: [(&str, bool, &[Right]); 16] = [
        (OPERATOR, false, NOBODY_MAY),
        (EXECUTOR, false, NOBODY_MAY),
        (SRE, false, NOBODY_MAY),
        (ANALYST, false, NOBODY_MAY),
        (ANALYZE, false, NOBODY_MAY),
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
            let review = json!({ "spec": { "user": who, "groups": groups_of(who),
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

/// group, resources, verbs
type Rule = (&'static str, &'static str, &'static str);

const GROUP: &str = "firewatch.dev";
const ADMISSION: &str = "admissionregistration.k8s.io";
const GUARDS: &str = "validatingadmissionpolicies validatingadmissionpolicybindings";

/// `kind=name`: that one object.
const DEFINITIONS: &str = "customresourcedefinitions=incidents.firewatch.dev \
    customresourcedefinitions=remediationapprovals.firewatch.dev customresourcedefinitions=responsepolicies.firewatch.dev";

const OPERATOR_EVERYWHERE: &[Rule] = &[
    (GROUP, "incidents remediationapprovals", "get list watch create patch"),
    (
        GROUP,
        "incidents/status remediationapprovals/status",
        "get patch update",
    ),
    (GROUP, "incidents/finalizers", "update"),
    (GROUP, "responsepolicies", "get list watch"),
    (GROUP, "responsepolicies/status", "get patch"),
    ("", "namespaces", "get list watch"),
    ("", "events", "create patch"),
    ("events.k8s.io", "events", "create patch"),
    ("apiextensions.k8s.io", DEFINITIONS, "get"),
    (ADMISSION, GUARDS, "get list watch"),
];
const OPERATOR_AT_HOME: &[Rule] = &[("coordination.k8s.io", "leases", "get list watch create update patch")];
const OPERATOR_IN_THE_SANDBOX: &[Rule] = &[
    ("batch", "jobs", "get list watch create delete"),
    ("", "pods pods/log", "get list watch"),
    ("", "events", "get list"),
    ("", "configmaps", "get list watch create delete"),
];
const EXECUTOR_EVERYWHERE: &[Rule] = &[
    (GROUP, "remediationapprovals incidents responsepolicies", "get list"),
    (GROUP, "remediationapprovals/status", "get patch update"),
    ("", "namespaces", "get"),
    ("apiextensions.k8s.io", DEFINITIONS, "get"),
    (ADMISSION, GUARDS, "get"),
];
const EXECUTOR_WHERE_OPTED_IN: &[Rule] = &[
    ("apps", "deployments statefulsets daemonsets", "get list patch"),
    ("apps", "replicasets controllerrevisions", "get list"),
    ("", "configmaps services resourcequotas", "get patch"),
    ("autoscaling", "horizontalpodautoscalers", "get patch"),
    ("policy", "poddisruptionbudgets", "get patch"),
    ("batch", "cronjobs", "get patch"),
];

fn flat(rules: &[&[Rule]]) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for (group, resources, verbs) in rules.iter().copied().flatten() {
        for resource in resources.split(' ') {
            rights.extend(verbs.split(' ').map(|verb| format!("{verb} {resource} of '{group}'")));
        }
    }
    rights
}

/// The API group of a kind that agents may read.
fn group_of(resource: Resource) -> &'static str {
    match resource {
        Resource::Deployments
        | Resource::ReplicaSets
        | Resource::StatefulSets
        | Resource::DaemonSets
        | Resource::ControllerRevisions => "apps",
        Resource::Jobs | Resource::CronJobs => "batch",
        Resource::EndpointSlices => "discovery.k8s.io",
        Resource::Ingresses | Resource::NetworkPolicies | Resource::IngressClasses => "networking.k8s.io",
        Resource::HorizontalPodAutoscalers => "autoscaling",
        Resource::VerticalPodAutoscalers => "autoscaling.k8s.io",
        Resource::PodDisruptionBudgets => "policy",
        Resource::Roles | Resource::RoleBindings => "rbac.authorization.k8s.io",
        Resource::StorageClasses => "storage.k8s.io",
        Resource::PriorityClasses => "scheduling.k8s.io",
        Resource::Pods
        | Resource::Services
        | Resource::ConfigMaps
        | Resource::PersistentVolumeClaims
        | Resource::ResourceQuotas
        | Resource::LimitRanges
        | Resource::ServiceAccounts
        | Resource::Events
        | Resource::Namespaces
        | Resource::Nodes
        | Resource::PersistentVolumes => "",
    }
}

/// What an agent's data (`config/agents/`) lets it read, as rights.
fn of_data(role: Role) -> BTreeSet<String> {
    let data = Permissions::of(role);
    let mut rights = BTreeSet::from(["get pods/log of ''".to_owned()]);
    for resource in data.resources {
        for verb in ["get", "list"] {
            rights.insert(format!("{verb} {resource} of '{}'", group_of(resource)));
            if data.commands.iter().any(|command| command == "top")
                && matches!(resource, Resource::Pods | Resource::Nodes)
            {
                rights.insert(format!("{verb} {resource} of 'metrics.k8s.io'"));
            }
        }
    }
    rights
}

/// Every right of an identity in a namespace, as the API server counts them.
async fn held(client: &Client, who: &'static str, namespace: &str) -> BTreeSet<String> {
    let review = json!({ "spec": { "namespace": namespace } });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = send(client, Who::Account(who), &post(path, review)).await.unwrap();
    let words = |rule: &Value, field: &str| -> Vec<String> {
        let listed = rule[field].as_array().into_iter().flatten();
        listed.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in answer["status"]["resourceRules"].as_array().unwrap() {
        let mut resources = words(rule, "resources");
        let names = words(rule, "resourceNames");
        if !names.is_empty() {
            resources = resources
                .iter()
                .flat_map(|kind| names.iter().map(move |name| format!("{kind}={name}")))
                .collect();
        }
        for group in words(rule, "apiGroups") {
            for resource in &resources {
                let rule = words(rule, "verbs");
                rights.extend(rule.iter().map(|verb| format!("{verb} {resource} of '{group}'")));
            }
        }
    }
    rights
}

#[tokio::test(flavor = "multi_thread")]
async fn no_identity_holds_a_right_that_is_not_listed_and_the_agents_rights_are_those_of_their_data() {
    let client = client().await;
    let own = namespace(&client, "guards-all-rights").await;
    let sre = of_data(Role::SreInvestigator);
    let analyst = of_data(Role::CodeAnalyst);
    let rows: [(&'static str, &str, BTreeSet<String>); 14] = [
        (OPERATOR, &own, flat(&[OPERATOR_EVERYWHERE])),
        (OPERATOR, "kube-system", flat(&[OPERATOR_EVERYWHERE])),
        (
            OPERATOR,
            "firewatch-system",
            flat(&[OPERATOR_EVERYWHERE, OPERATOR_AT_HOME]),
        ),
        (OPERATOR, SANDBOX, flat(&[OPERATOR_EVERYWHERE, OPERATOR_IN_THE_SANDBOX])),
        (EXECUTOR, &own, flat(&[EXECUTOR_EVERYWHERE, EXECUTOR_WHERE_OPTED_IN])),
        (EXECUTOR, "kube-system", flat(&[EXECUTOR_EVERYWHERE])),
        (EXECUTOR, "firewatch-system", flat(&[EXECUTOR_EVERYWHERE])),
        (EXECUTOR, SANDBOX, flat(&[EXECUTOR_EVERYWHERE])),
        (SRE, &own, sre.clone()),
        (SRE, SANDBOX, sre),
        (ANALYST, &own, analyst.clone()),
        (ANALYST, SANDBOX, analyst),
        (ANALYZE, &own, BTreeSet::new()),
        (ANALYZE, SANDBOX, BTreeSet::new()),
    ];
    let mut wrong = Vec::new();
    for (who, place, expected) in rows {
        // What the cluster gives to every service account is not the chart's.
        let everybody = held(&client, "system:serviceaccount:firewatch-nowhere:nobody", place).await;
        let found: BTreeSet<String> = held(&client, who, place)
            .await
            .difference(&everybody)
            .cloned()
            .collect();
        wrong.extend(
            found
                .difference(&expected)
                .map(|right| format!("{who} in {place} holds, and must not: {right}")),
        );
        wrong.extend(
            expected
                .difference(&found)
                .map(|right| format!("{who} in {place} lacks: {right}")),
        );
    }
    remove(&client, &own).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
