//! A user of one namespace gets nothing of another; and what is wrong with an incident is said where its user looks.

use firewatch_core::api::Outcome;

use crate::world::{Place, kubectl, shared};

fn incident(place: &Place, name: &str, spec: &serde_json::Value) -> (bool, String) {
    let object = serde_json::json!({ "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident", "metadata": { "name": name }, "spec": spec });
    kubectl(&["-n", &place.namespace, "apply", "-f", "-"], Some(&object.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_about_another_namespace_is_refused_with_the_reason() {
    let world = shared().await;
    let place = Place::new("tenant").await;
    let spec = serde_json::json!({ "title": "t", "target": { "kind": "Deployment", "name": "x", "namespace": "kube-system" } });
    let (ok, said) = incident(&place, "across", &spec);
    assert!(!ok);
    assert!(said.contains("may name targets in its own namespace only"), "{said}");
    place.ends().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_incident_is_answered_with_field_and_remedy() {
    let world = shared().await;
    let place = Place::new("malformed").await;
    let (ok, said) = incident(&place, "no-title", &serde_json::json!({}));
    assert!(!ok && said.contains("spec.title"), "{said}");
    let (ok, said) = incident(
        &place,
        "severity",
        &serde_json::json!({ "title": "t", "severity": "urgent" }),
    );
    assert!(
        !ok && said.contains("spec.severity") && said.contains("critical"),
        "{said}"
    );
    place.ends().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_exist_ends_without_a_guess() {
    let world = shared().await;
    let place = Place::new("no-target").await;
    let spec = serde_json::json!({ "title": "t", "target": { "kind": "Deployment", "name": "nowhere" } });
    let (ok, said) = incident(&place, "gone", &spec);
    assert!(ok, "{said}");
    let status = place.until_over("gone").await;
    assert_eq!(
        status.outcome,
        Some(Outcome::Inconclusive),
        "{}",
        serde_json::to_string_pretty(&status).unwrap()
    );
    assert!(status.root_cause.is_none() && status.plan.is_none());
    assert!(!status.next_steps.is_empty(), "what to look at next is said");
    place.ends().await;
    drop(world);
}
