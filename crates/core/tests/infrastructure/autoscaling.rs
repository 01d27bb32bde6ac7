//! Autoscalers, in the words of their conditions.

use serde_json::{Value, json};

use crate::case::{App, Case, EARLIER, LONG_AGO, NS};

const HPA: (&str, &str) = ("HorizontalPodAutoscaler", "store");

fn hpa(target: &str, replicas: i32, conditions: Value) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "store", "namespace": NS, "creationTimestamp": LONG_AGO},
        "spec": {"minReplicas": 1, "maxReplicas": 4, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]},
        "status": {"currentReplicas": replicas, "desiredReplicas": replicas, "conditions": conditions}})
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": EARLIER})
}

fn store() -> Case {
    App::new("store")
        .container(json!({"resources": {"requests": {"cpu": "100m"}}}))
        .alone()
}

#[test]
fn an_autoscaler_of_what_is_not_there_is_named_with_what_was_meant() {
    let said = "the HPA controller was unable to get the target's current scale: deployments.apps \"stroe\" not found";
    let failing = json!([condition("AbleToScale", "False", "FailedGetScale", said)]);
    store().with(hpa("stroe", 0, failing)).expect(
        HPA,
        "HpaTargetMissing",
        "HorizontalPodAutoscaler/store",
        &["cannot scale Deployment/stroe", "not found"],
    );
    let able = json!([condition("AbleToScale", "True", "ReadyForNewScale", "")]);
    store().with(hpa("store", 1, able)).never(HPA, "HpaTargetMissing");
}

#[test]
fn an_autoscaler_without_metrics_is_told_from_one_whose_pods_lack_a_request() {
    let said = "the HPA was unable to compute the replica count: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API";
    let failing = json!([
        condition("AbleToScale", "True", "SucceededGetScale", ""),
        condition("ScalingActive", "False", "FailedGetResourceMetric", said)
    ]);
    store().with(hpa("store", 1, failing.clone())).expect(
        HPA,
        "HpaWithoutMetrics",
        "HorizontalPodAutoscaler/store",
        &["gets no metrics for Deployment/store", "metrics API"],
    );
    let without = App::new("store").alone();
    let cause = without.clone().with(hpa("store", 1, failing)).expect(
        HPA,
        "HpaWithoutRequests",
        "Deployment/store",
        &["has no cpu request"],
    );
    assert!(cause.remedy.is_some());
    // Scaled to zero on purpose: the autoscaler rests, and says so.
    let rests = json!([condition(
        "ScalingActive",
        "False",
        "ScalingDisabled",
        "scaling is disabled since the replica count of the target is zero"
    )]);
    without.with(hpa("store", 0, rests)).never(HPA, "HpaWithoutRequests");
}

#[test]
fn an_autoscaler_at_its_maximum_that_wants_more_is_told_from_one_that_has_enough() {
    let limited = |status: &str, reason: &str| {
        json!([
            condition("AbleToScale", "True", "ReadyForNewScale", ""),
            condition(
                "ScalingLimited",
                status,
                reason,
                "the desired replica count is more than the maximum replica count"
            )
        ])
    };
    store()
        .with(hpa("store", 4, limited("True", "TooManyReplicas")))
        .expect(
            HPA,
            "HpaAtMaximum",
            "HorizontalPodAutoscaler/store",
            &["stands at its maximum of 4 replicas", "more than the maximum"],
        );
    for (replicas, status, reason) in [
        (3, "True", "TooManyReplicas"),
        (4, "False", "TooManyReplicas"),
        (4, "False", "DesiredWithinRange"),
        (4, "True", "TooFewReplicas"),
    ] {
        store()
            .with(hpa("store", replicas, limited(status, reason)))
            .never(HPA, "HpaAtMaximum");
    }
}
