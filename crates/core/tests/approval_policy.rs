//! Which policy holds where, and who else writes an object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use firewatch_core::api::policy::PolicyMode;
use firewatch_core::api::{ResponsePolicy, Risk};
use firewatch_core::approval::policy::{BUILT_IN, Effective, effective, unsupported};
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
fn what_is_not_acted_on_yet_is_named() {
    let set = policy(
        "p",
        json!({"cooldown": 60, "maxConcurrent": 2, "suspended": true, "allowedActions": ["Scale"]}),
    );
    assert_eq!(unsupported(&set.spec), ["maxConcurrent"]);
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
