//! Kubernetes events: one for each transition, so that `kubectl describe incident` tells the story. They expire and are never the
//! record. Published by `record`; a failure to publish is logged and changes nothing.

use firewatch_core::api::{Incident, Outcome};
use firewatch_core::incident::Transition;
use firewatch_core::text::clip;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

/// Publishes a transition.
pub async fn publish(recorder: &Recorder, incident: &Incident, transition: &Transition) {
    let warning = matches!(
        transition.outcome,
        Some(
            Outcome::RemediationFailed
                | Outcome::Escalated
                | Outcome::Inconclusive
                | Outcome::RolledBack
                | Outcome::Expired
        )
    );
    note(
        recorder,
        incident,
        warning,
        transition.reason.as_ref(),
        // Events of one reason and action are counted as one and show the first one's words: a new plan would be announced with
        // the old plan's approve line. Each transition is an event of its own.
        &format!(
            "{}.{}",
            transition.to,
            incident.status.as_ref().map_or(0, |s| s.sequence)
        ),
        &transition.message,
    )
    .await;
}

/// Publishes one event.
pub async fn note(recorder: &Recorder, incident: &Incident, warning: bool, reason: &str, action: &str, message: &str) {
    about(recorder, &incident.object_ref(&()), warning, reason, action, message).await;
}

/// Publishes one event about an object that is known by name.
pub async fn about(
    recorder: &Recorder,
    object: &ObjectReference,
    warning: bool,
    reason: &str,
    action: &str,
    message: &str,
) {
    let event = Event {
        type_: if warning { EventType::Warning } else { EventType::Normal },
        reason: reason.to_owned(),
        note: Some(clip(message, 1000)),
        action: action.to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, object).await {
        tracing::warn!(%error, reason, "an event could not be published");
    }
}
