//! The guards are intact only as compiled in: whatever is taken away, added, weakened or made anew is seen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unnecessary_wraps
)]

use firewatch_core::approval::guard::{Installation, Installed, compare};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

const CHART: &str = include_str!("../../../charts/firewatch/files/guards.yaml");

const CRDS: [&str; 3] = [
    include_str!("../../../charts/firewatch/files/crds/remediationapprovals.firewatch.dev.yaml"),
    include_str!("../../../charts/firewatch/files/crds/incidents.firewatch.dev.yaml"),
    include_str!("../../../charts/firewatch/files/crds/responsepolicies.firewatch.dev.yaml"),
];

fn at(seconds: i64) -> Option<Time> {
    Some(Time(Timestamp::from_second(1_795_000_000 + seconds).unwrap()))
}

/// As a chart installs them.
fn rendered() -> String {
    CHART
        .replace("FIREWATCH_OPERATOR_NAMESPACE", "firewatch-system")
        .replace("FIREWATCH_OPERATOR_ACCOUNT", "firewatch")
        .replace("FIREWATCH_SANDBOX_NAMESPACE", "firewatch-sandbox")
        .replace(
            "FIREWATCH_SANDBOX_IMAGE",
            "registry.example/firewatch-sandbox@sha256:0123",
        )
}

fn installed(text: &str) -> Installed {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let mut all = Installed::default();
    for mut document in documents {
        document["metadata"]["creationTimestamp"] = json!(at(0));
        if document["kind"] == "ValidatingAdmissionPolicy" {
            // What an API server fills in.
            document["spec"]["matchConstraints"]["matchPolicy"] = json!("Equivalent");
            document["spec"]["matchConstraints"]["objectSelector"] = json!({});
            document["spec"]["matchConstraints"]["resourceRules"][0]["scope"] = json!("*");
            all.policies.push(serde_json::from_value(document).unwrap());
        } else {
            all.bindings.push(serde_json::from_value(document).unwrap());
        }
    }
    all.crds = CRDS.iter().map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    for crd in &mut all.crds {
        crd.metadata.creation_timestamp = at(0);
    }
    all
}

fn known() -> Installation {
    Installation {
        sandbox_namespace: Some("firewatch-sandbox".into()),
        ..Installation::default()
    }
}

#[test]
fn what_the_chart_installs_is_intact_and_tells_where_the_operator_lives() {
    let state = compare(&installed(&rendered()), &known());
    assert_eq!(state.differences, Vec::<String>::new());
    assert!(state.intact);
    assert_eq!(state.operator_namespace.as_deref(), Some("firewatch-system"));
    assert_eq!(state.newest_change, at(0).map(|time| time.0));
}

#[test]
fn each_weakening_is_seen_and_named() {
    type Case = (&'static str, fn(&mut Installed));
    let cases: &[Case] = &[
        ("ValidatingAdmissionPolicy firewatch-approvals is not installed", |i| {
            drop(i.policies.remove(0));
        }),
        (
            "ValidatingAdmissionPolicyBinding firewatch-sandbox-pods is not installed",
            |i| drop(i.bindings.remove(2)),
        ),
        (
            "CustomResourceDefinition incidents.firewatch.dev is not installed",
            |i| drop(i.crds.remove(1)),
        ),
        ("is being deleted", |i| {
            i.policies[1].metadata.deletion_timestamp = at(1);
        }),
        ("firewatch-approvals was changed at spec.validations", |i| {
            i.policies[0].spec.as_mut().unwrap().validations.as_mut().unwrap().pop();
        }),
        (
            "firewatch-approvals was changed at spec.validations[0].expression",
            |i| {
                i.policies[0].spec.as_mut().unwrap().validations.as_mut().unwrap()[0].expression = "true".into();
            },
        ),
        ("firewatch-incidents was changed at spec.failurePolicy", |i| {
            i.policies[1].spec.as_mut().unwrap().failure_policy = Some("Ignore".into());
        }),
        ("firewatch-sandbox-pods was changed at spec.matchConditions", |i| {
            i.policies[2].spec.as_mut().unwrap().match_conditions =
                Some(vec![k8s_openapi::api::admissionregistration::v1::MatchCondition {
                    name: "none".into(),
                    expression: "false".into(),
                }]);
        }),
        ("firewatch-approvals was changed at spec.validationActions", |i| {
            i.bindings[0].spec.as_mut().unwrap().validation_actions = Some(vec!["Warn".into()]);
        }),
        ("firewatch-approvals was changed at spec.matchResources", |i| {
            i.bindings[0].spec.as_mut().unwrap().match_resources =
                Some(serde_json::from_value(json!({"namespaceSelector": {"matchLabels": {"a": "b"}}})).unwrap());
        }),
        ("remediationapprovals.firewatch.dev was changed at spec.versions", |i| {
            let schema = i.crds[0].spec.versions[0]
                .schema
                .as_mut()
                .unwrap()
                .open_api_v3_schema
                .as_mut()
                .unwrap();
            schema
                .properties
                .as_mut()
                .unwrap()
                .get_mut("spec")
                .unwrap()
                .x_kubernetes_validations
                .as_mut()
                .unwrap()
                .pop();
        }),
        ("remediationapprovals.firewatch.dev was changed at spec.versions", |i| {
            let schema = i.crds[0].spec.versions[0]
                .schema
                .as_mut()
                .unwrap()
                .open_api_v3_schema
                .as_mut()
                .unwrap();
            schema.x_kubernetes_preserve_unknown_fields = Some(true);
        }),
        ("incidents.firewatch.dev was changed at spec.versions", |i| {
            i.crds[1].spec.versions[0].subresources = None;
        }),
    ];
    for (difference, change) in cases {
        let mut all = installed(&rendered());
        change(&mut all);
        let state = compare(&all, &known());
        assert!(!state.intact);
        assert!(
            state.differences.iter().any(|text| text.contains(difference)),
            "{difference}: {:?}",
            state.differences
        );
    }
}

#[test]
fn a_name_means_the_same_everywhere_and_is_never_an_expression() {
    let mixed = rendered().replacen("firewatch-system:firewatch", "attacker:firewatch", 1);
    assert!(!compare(&installed(&mixed), &known()).intact);
    let injected = CHART
        .replace("FIREWATCH_OPERATOR_NAMESPACE", "x' || true || variables.user == 'y")
        .replace("FIREWATCH_OPERATOR_ACCOUNT", "firewatch")
        .replace("FIREWATCH_SANDBOX_NAMESPACE", "firewatch-sandbox")
        .replace("FIREWATCH_SANDBOX_IMAGE", "image");
    assert!(!compare(&installed(&injected), &known()).intact);
    let other = Installation {
        sandbox_namespace: Some("elsewhere".into()),
        ..Installation::default()
    };
    assert!(!compare(&installed(&rendered()), &other).intact);
}

#[test]
fn a_change_that_was_taken_back_still_makes_the_guards_younger() {
    let mut all = installed(&rendered());
    let entry = |seconds, subresource: Option<&str>| ManagedFieldsEntry {
        time: at(seconds),
        subresource: subresource.map(Into::into),
        ..ManagedFieldsEntry::default()
    };
    all.policies[0].metadata = ObjectMeta {
        managed_fields: Some(vec![entry(50, None), entry(90, Some("status"))]),
        ..all.policies[0].metadata.clone()
    };
    let state = compare(&all, &known());
    assert!(state.intact);
    assert_eq!(state.newest_change, at(50).map(|time| time.0));
}

#[test]
fn descriptions_may_differ_rules_may_not() {
    let mut all = installed(&rendered());
    let schema = all.crds[1].spec.versions[0]
        .schema
        .as_mut()
        .unwrap()
        .open_api_v3_schema
        .as_mut()
        .unwrap();
    schema.description = Some("other words".into());
    assert!(compare(&all, &known()).intact);
}
