//! From recorded evidence to a plan: what is planned, what is not, and why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use firewatch_core::agents::remediation_planner;
use firewatch_core::api::status::PlanStatus;
use firewatch_core::api::{ActionType, Risk};
use firewatch_core::diagnosis::{CaseFile, Diagnosis, diagnose};
use firewatch_core::remediation::plan::PlanningContext;
use firewatch_core::remediation::remedies::{Nodes, Reach};
use firewatch_core::remediation::verify::{is_taken_back, judge};
use firewatch_core::remediation::{Action, assess};

/// The recorded evidence of a scenario, as text in which `change` may differ.
fn case(scenario: &str, change: impl Fn(String) -> String) -> (CaseFile, Diagnosis, String) {
    let mut recording = common::recording(scenario);
    for one in &mut recording.evidence {
        one.output = change(one.output.clone());
    }
    let case = common::case(&recording, &recording.evidence);
    let diagnosis = diagnose(&case);
    let namespace = recording.header.namespace;
    (case, diagnosis, namespace)
}

fn context(namespace: &str) -> PlanningContext {
    PlanningContext {
        reach: Reach {
            namespace: namespace.to_owned(),
            nodes: Nodes::Off,
        },
        revision: 1,
        ..PlanningContext::default()
    }
}

fn plan_of(scenario: &str) -> PlanStatus {
    let (case, diagnosis, namespace) = case(scenario, |text| text);
    remediation_planner::plan(&diagnosis, &case, &context(&namespace))
}

fn types(plan: &PlanStatus) -> Vec<ActionType> {
    plan.actions.iter().map(|action| action.action_type).collect()
}

#[test]
fn a_missing_key_is_added_and_the_pods_are_made_anew() {
    let plan = plan_of("crashloop");
    assert_eq!(
        types(&plan),
        [ActionType::PatchConfigMapKey, ActionType::RestartRollout],
        "{:?}",
        plan.manual_reason
    );
    let first = &plan.actions[0];
    assert_eq!(first.target.name, "checkout-settings");
    assert_eq!(first.parameters.field.as_deref(), Some("PAYMENT_GATEWAY_URL"));
    assert_eq!(
        (first.parameters.from.as_deref(), first.parameters.to.as_deref()),
        (None, Some("http://payment-gateway:8080/v1"))
    );
    assert!(!first.evidence.is_empty());
    assert_eq!(plan.risk, Risk::Medium);
    assert_eq!(plan.manual_reason, None);
    assert!(plan.digest.is_empty() && plan.expires_at.is_none());
}

#[test]
fn a_leak_that_came_with_a_release_is_rolled_back_with_its_difference_shown() {
    let plan = plan_of("memory_leak");
    assert_eq!(types(&plan), [ActionType::RollbackRollout], "{:?}", plan.manual_reason);
    assert!(plan.actions[0].diff.as_deref().is_some_and(|diff| !diff.is_empty()));
    assert!(
        plan.actions[0].command.contains(&"--to-revision=1".to_owned()),
        "{:?}",
        plan.actions[0].command
    );
}

#[test]
fn load_beyond_one_replica_is_scaled_and_an_autoscaler_proposed() {
    let plan = plan_of("cpu_spike");
    assert_eq!(types(&plan), [ActionType::Scale], "{:?}", plan.manual_reason);
    assert!(
        plan.long_term_fixes
            .iter()
            .any(|fix| fix.contains("kind: HorizontalPodAutoscaler")),
        "{:?}",
        plan.long_term_fixes
    );
}

#[test]
fn the_dependency_is_repaired_and_not_its_victim() {
    let plan = plan_of("cascading_failure");
    assert_eq!(types(&plan), [ActionType::PatchService], "{:?}", plan.manual_reason);
    assert_eq!(plan.actions[0].target.name, "orders-db");
}

#[test]
fn nothing_is_planned_for_what_is_well() {
    let plan = plan_of("healthy_noise");
    assert!(plan.actions.is_empty() && plan.manual_reason.is_some());
}

#[test]
fn every_plan_is_what_its_typed_values_mean() {
    for scenario in ["crashloop", "memory_leak", "cpu_spike", "cascading_failure"] {
        let plan = plan_of(scenario);
        for planned in &plan.actions {
            assert_eq!(assess::recomputed(planned).unwrap(), *planned);
        }
        let typed: Vec<Action> = plan
            .actions
            .iter()
            .map(|action| Action::try_from(action).unwrap())
            .collect();
        assert_eq!(plan.summary, assess::summary(&typed));
        assert_eq!(plan.risk, assess::risk(&typed));
    }
}

#[test]
fn what_another_tool_writes_is_proposed_at_its_source() {
    for (mark, tool) in [
        (
            r#""annotations":{"meta.helm.sh/release-name":"checkout","meta.helm.sh/release-namespace":"checkout-1"},"labels":{"app.kubernetes.io/managed-by":"Helm","app":"checkout"}"#,
            "Helm",
        ),
        (
            r#""annotations":{"argocd.argoproj.io/tracking-id":"shop:/ConfigMap:checkout-1/checkout-settings"},"labels":{"app":"checkout"}"#,
            "Argo CD",
        ),
        (
            r#""labels":{"kustomize.toolkit.fluxcd.io/name":"shop","kustomize.toolkit.fluxcd.io/namespace":"flux-system","app":"checkout"}"#,
            "Flux",
        ),
    ] {
        let (case, diagnosis, namespace) = case("crashloop", |text| mark_settings(&text, mark));
        let plan = remediation_planner::plan(&diagnosis, &case, &context(&namespace));
        assert!(plan.actions.is_empty());
        let reason = plan.manual_reason.unwrap();
        assert!(reason.contains(tool), "{reason}");
        assert!(
            plan.long_term_fixes[0].contains("PAYMENT_GATEWAY_URL"),
            "{:?}",
            plan.long_term_fixes
        );
    }
}

/// The same text with other labels and annotations on the ConfigMap `checkout-settings`.
fn mark_settings(text: &str, mark: &str) -> String {
    let Ok(mut list) = serde_json::from_str::<serde_json::Value>(text) else {
        return text.to_owned();
    };
    let mark: serde_json::Value = serde_json::from_str(&format!("{{{mark}}}")).unwrap();
    for item in list["items"].as_array_mut().into_iter().flatten() {
        if item["kind"] == "ConfigMap" && item["metadata"]["name"] == "checkout-settings" {
            for (key, value) in mark.as_object().unwrap() {
                item["metadata"][key] = value.clone();
            }
        }
    }
    list.to_string()
}

#[test]
fn what_no_evidence_shows_a_person_must_supply() {
    let (case, diagnosis, namespace) = case("crashloop", |text| {
        text.replace("http://payment-gateway:8080/v1", "[redacted:url]")
    });
    let plan = remediation_planner::plan(&diagnosis, &case, &context(&namespace));
    assert!(plan.actions.is_empty(), "{:?}", plan.actions);
    assert!(
        plan.manual_reason
            .as_deref()
            .is_some_and(|reason| reason.contains("person must")),
        "{:?}",
        plan.manual_reason
    );
}

#[test]
fn a_policy_bounds_what_is_planned() {
    let (case, diagnosis, namespace) = case("crashloop", |text| text);
    let with = |allowed: &[ActionType]| {
        let context = PlanningContext {
            allowed_actions: allowed.to_vec(),
            ..context(&namespace)
        };
        remediation_planner::plan(&diagnosis, &case, &context)
    };
    assert_eq!(
        types(&with(&[ActionType::PatchConfigMapKey])),
        [ActionType::PatchConfigMapKey]
    );
    assert_eq!(types(&with(&[ActionType::SetEnv])), [ActionType::SetEnv]);
    let none = with(&[ActionType::Scale]);
    assert!(none.actions.is_empty());
    assert!(none.manual_reason.unwrap().contains("does not allow PatchConfigMapKey"));
}

#[test]
fn another_plan_is_made_when_a_person_asks_for_one() {
    let (case, diagnosis, namespace) = case("crashloop", |text| text);
    let with = |feedback: &str| {
        let context = PlanningContext {
            revision: 2,
            feedback: Some(feedback.to_owned()),
            ..context(&namespace)
        };
        types(&remediation_planner::plan(&diagnosis, &case, &context))
    };
    assert_eq!(with("set it on the deployment instead"), [ActionType::SetEnv]);
    assert_eq!(with("please without a restart"), [ActionType::PatchConfigMapKey]);
}

#[test]
fn a_repair_that_changed_nothing_does_not_pass() {
    let (case, before, _) = case("crashloop", |text| text);
    let plan = plan_of("crashloop");
    let verification = judge(&before, &before, &case, Some(&plan));
    assert!(!verification.passed);
    let failing: Vec<&str> = verification
        .checks
        .iter()
        .filter(|check| !check.passed)
        .map(|check| check.name.as_str())
        .collect();
    for name in [
        "the cause is gone",
        "A1 is in place",
        "Deployment/checkout is rolled out",
        "pods of Deployment/checkout are ready and still",
    ] {
        assert!(failing.contains(&name), "{name} not in {failing:?}");
    }
    assert!(
        is_taken_back(Some(&plan), &case),
        "nothing was changed, so everything is as before"
    );
}

#[test]
fn a_namespace_without_evidence_does_not_pass() {
    let (_, before, namespace) = case("crashloop", |text| text);
    let (case, ..) = case("crashloop", |text| text);
    let empty = CaseFile::new(&namespace, None, case.now());
    let fresh = diagnose(&empty);
    assert!(!judge(&before, &fresh, &empty, Some(&plan_of("crashloop"))).passed);
    assert!(!is_taken_back(Some(&plan_of("crashloop")), &empty));
}
