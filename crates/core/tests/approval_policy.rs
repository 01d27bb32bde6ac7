//! Which policy holds where, and who else writes an object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use firewatch_core::agents::model::budget::{Amount, Micros, Scope};
use firewatch_core::api::policy::{Budgets, PolicyMode};
use firewatch_core::api::{ResponsePolicy, Risk};
use firewatch_core::approval::policy::{BUILT_IN, Effective, digest, effective, faults, narrowed, ties};
use firewatch_core::remediation::ownership::source;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

fn policy(name: &str, spec: Value) -> ResponsePolicy {
    ResponsePolicy::new(name, serde_json::from_value(spec).unwrap())
}

fn holds(policies: &[ResponsePolicy]) -> Effective {
    let labels = BTreeMap::from([
        ("team".to_owned(), "shop".to_owned()),
        ("env".to_owned(), "prod".to_owned()),
    ]);
    effective(policies, &labels)
}

#[test]
fn without_a_policy_a_safe_one_holds() {
    let safe = holds(&[]);
    assert_eq!(
        (safe.name.as_str(), safe.mode, safe.suspended),
        (BUILT_IN, PolicyMode::Remediate, false)
    );
    assert_eq!((safe.approval_ttl_seconds, safe.require_audit), (900, true));
    assert!(safe.auto_approve.is_none(), "nothing is approved but by people");
    assert_eq!(
        [Risk::Low, Risk::Medium, Risk::High].map(|risk| safe.required_approvals(risk)),
        [1, 1, 2]
    );
}

#[test]
fn a_selector_selects_as_kubernetes_does() {
    let chosen = |selector: Value| holds(&[policy("p", json!({ "namespaceSelector": selector }))]).name == "p";
    for (selector, expected) in [
        (json!({}), true),
        (json!({"matchLabels": {"team": "shop"}}), true),
        (json!({"matchLabels": {"team": "shop", "env": "test"}}), false),
        (
            json!({"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod", "test"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
            true,
        ),
    ] {
        assert_eq!(chosen(selector.clone()), expected, "{selector}");
    }
}

#[test]
fn the_highest_priority_holds_and_a_tie_executes_nothing() {
    let low = policy("low", json!({"priority": 1, "mode": "Remediate"}));
    let high = policy(
        "high",
        json!({"priority": 9, "mode": "Suggest", "approvalTtlSeconds": 120}),
    );
    let found = holds(&[low.clone(), high]);
    assert_eq!(
        (found.name.as_str(), found.mode, found.approval_ttl_seconds),
        ("high", PolicyMode::Suggest, 120)
    );
    let tied = holds(&[low, policy("also", json!({"priority": 1}))]);
    assert_eq!(tied.tied, ["also", "low"]);
    assert_eq!(tied.mode, PolicyMode::Suggest);
}

#[test]
fn a_kill_switch_cannot_be_hidden() {
    let found = holds(&[
        policy("high", json!({"priority": 9})),
        policy("stop", json!({"suspended": true})),
    ]);
    assert!(found.suspended);
}

#[test]
fn what_cannot_be_obeyed_is_named_with_its_field_and_a_remedy() {
    let auto = |more: Value| {
        let mut auto = json!({"maxRisk": "low", "actionTypes": ["Scale"]});
        auto.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "autoApprove": auto })
    };
    let cases = [
        (
            auto(json!({"windows": [{"from": "09:00", "to": "17:00", "timeZone": "Mars/Olympus"}]})),
            "Europe/Berlin",
        ),
        (auto(json!({"windows": [{"from": "09:00", "to": "09:00"}]})), "24:00"),
        (auto(json!({"minConfidence": "much"})), "minConfidence"),
        (auto(json!({"maxRisk": "high"})), "requiredApprovals is 1"),
        (
            json!({"requiredApprovals": 2, "autoApprove": {"maxRisk": "low", "actionTypes": ["Scale"]}}),
            "requiredApprovals is 2",
        ),
        (
            json!({"allowedActions": ["SetEnv"], "autoApprove": {"maxRisk": "low", "actionTypes": ["Scale"]}}),
            "Scale is not in allowedActions",
        ),
        (json!({"budgets": {"costUsdPerIncident": "ten"}}), "costUsdPerIncident"),
    ];
    for (spec, part) in cases {
        let found = faults(&policy("p", spec.clone()).spec).join("; ");
        assert!(found.contains(part), "{spec}: {found}");
    }
    let whole = auto(
        json!({"windows": [{"days": ["Monday"], "from": "09:00", "to": "17:00", "timeZone": "Europe/Berlin"}], "minConfidence": "0.9"}),
    );
    assert!(faults(&policy("p", whole).spec).is_empty());
}

#[test]
fn a_tie_is_told_of_each_policy_with_the_namespaces_where_it_holds_up() {
    let labels = |env: &str| BTreeMap::from([("env".to_owned(), env.to_owned())]);
    let namespaces = BTreeMap::from([("shop".to_owned(), labels("prod")), ("play".to_owned(), labels("test"))]);
    let prod = json!({"matchLabels": {"env": "prod"}});
    let found = ties(
        &[
            policy("all", json!({})),
            policy("prod", json!({"namespaceSelector": prod})),
            policy(
                "high",
                json!({"priority": 3, "namespaceSelector": {"matchLabels": {"env": "none"}}}),
            ),
        ],
        &namespaces,
    );
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["all", "prod"]);
    let (others, places) = &found["all"];
    assert!(others.contains("prod") && places.contains("shop") && !places.contains("play"));
    // A third one above both ends it.
    let above = [
        policy("all", json!({})),
        policy("prod", json!({"namespaceSelector": prod})),
        policy("above", json!({"priority": 1})),
    ];
    assert!(ties(&above, &namespaces).is_empty());
}

#[test]
fn a_policys_digest_is_that_of_all_that_it_says() {
    let of = |spec: Value| digest(&policy("p", spec).spec).unwrap();
    assert_eq!(of(json!({})), of(json!({"priority": 0, "suspended": false})));
    assert_ne!(of(json!({})), of(json!({"cooldown": 1})));
    assert!(of(json!({})).starts_with("sha256:") && of(json!({})).len() == 71);
}

#[test]
fn budgets_only_narrow_what_the_installation_allows() {
    let all = |tokens, cost| Amount {
        tokens,
        cost: Micros(cost),
    };
    let limits = BTreeMap::from([
        (Scope::Incident, all(1000, 100_000)),
        (Scope::NamespaceDay, all(u64::MAX, 1_000_000)),
        (Scope::ClusterDay, all(u64::MAX, 5_000_000)),
    ]);
    assert_eq!(narrowed(&limits, &Budgets::default()), limits);
    let less: Budgets =
        serde_json::from_value(json!({"tokensPerIncident": 10, "costUsdPerIncident": "0.02", "costUsdPerDay": "0.5"}))
            .unwrap();
    let found = narrowed(&limits, &less);
    assert_eq!(found[&Scope::Incident], all(10, 20_000));
    assert_eq!(found[&Scope::NamespaceDay], all(u64::MAX, 500_000));
    assert_eq!(found[&Scope::ClusterDay], limits[&Scope::ClusterDay]);
    let more: Budgets = serde_json::from_value(json!({"tokensPerIncident": 9999, "costUsdPerDay": "99"})).unwrap();
    assert_eq!(narrowed(&limits, &more), limits);
    let unreadable: Budgets = serde_json::from_value(json!({"costUsdPerDay": "lots"})).unwrap();
    assert_eq!(narrowed(&limits, &unreadable)[&Scope::NamespaceDay].cost, Micros(0));
}

#[test]
fn whoever_else_writes_an_object_is_known_by_its_marks() {
    let tool = |metadata: Value| {
        let metadata: ObjectMeta = serde_json::from_value(metadata).unwrap();
        source(&metadata).map(|source| source.to_string())
    };
    for (metadata, expected) in [
        (json!({}), None),
        // A chart that was rendered and applied by hand is nobody's.
        (json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), None),
        (
            json!({"labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"}}),
            Some("Helm (release shop/web)"),
        ),
        (
            json!({"labels": {"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "flux"}}),
            Some("Flux (HelmRelease flux/web)"),
        ),
        (
            json!({"labels": {"argocd.argoproj.io/instance": "web"}}),
            Some("Argo CD (application web)"),
        ),
        (
            json!({"managedFields": [{"manager": "kustomize-controller"}]}),
            Some("Flux"),
        ),
        (
            json!({"managedFields": [{"manager": "kubectl-client-side-apply"}]}),
            None,
        ),
        (
            json!({"ownerReferences": [{"apiVersion": "x/v1", "kind": "Website", "name": "web", "uid": "u", "controller": true}]}),
            Some("Website (web)"),
        ),
        (
            json!({"ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "web", "uid": "u", "controller": true}]}),
            None,
        ),
    ] {
        assert_eq!(tool(metadata.clone()).as_deref(), expected, "{metadata}");
    }
}
