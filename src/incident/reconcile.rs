//! One reconcile: relay, observe, decide, do one thing, record it. Level-triggered: it gets an object, never a reason.
//!
//! It never does two steps at once, and treats waits as requeues, not errors. Errors back off for each incident by itself.
//! Called by kube's Controller, which never reconciles one incident concurrently.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use firewatch_core::api::{Incident, Phase};
use firewatch_core::incident::{Decision, Reason, Step, Transition, decide};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use tokio::sync::Mutex;

use super::context::Context;
use super::observe::Observed;
use super::{observe, perform, record, relay};
use crate::telemetry::events;
use crate::telemetry::metrics::ReasonLabel;

/// Keeps a deleted incident until its record is stored.
pub const FINALIZER: &str = "firewatch.dev/audit";

/// Why a reconcile failed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error("API server: {0}")]
    Api(#[from] kube::Error),
    /// A record is not what was written.
    #[error("a record could not be read: {0}")]
    Record(#[from] serde_json::Error),
    /// A record is not what was written.
    #[error("a record could not be unpacked: {0}")]
    Unpack(#[from] std::io::Error),
    /// The object has no uid.
    #[error("the incident has no uid")]
    Unidentified,
    /// A child of a deterministic name exists and belongs to something else.
    #[error("{0} exists and is not this step's")]
    Foreign(String),
    /// What a step needs is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A plan could not be sealed.
    #[error("the plan could not be sealed: {0}")]
    Seal(String),
}

/// The closed reasons of failed reconciles that are counted. A conflict is none of them: it is tried again at once.
pub const REASONS: [&str; 9] = [
    "Forbidden",
    "Invalid",
    "ApiError",
    "ApiUnreachable",
    "RecordUnreadable",
    "Unidentified",
    "ForeignChild",
    "RecordMissing",
    "PlanUnsealable",
];

impl Error {
    /// Closed reason for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api(kube::Error::Api(status)) if status.is_conflict() => "Conflict",
            Self::Api(kube::Error::Api(status)) if status.is_forbidden() => "Forbidden",
            Self::Api(kube::Error::Api(status)) if status.is_invalid() => "Invalid",
            Self::Api(kube::Error::Api(_)) => "ApiError",
            Self::Api(_) => "ApiUnreachable",
            Self::Record(_) | Self::Unpack(_) => "RecordUnreadable",
            Self::Unidentified => "Unidentified",
            Self::Foreign(_) => "ForeignChild",
            Self::Missing(_) => "RecordMissing",
            Self::Seal(_) => "PlanUnsealable",
        }
    }
}

/// Failures in a row, for each incident.
#[derive(Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    async fn failed(&self, key: &str) -> Duration {
        let mut failures = self.0.lock().await;
        let n = failures.entry(key.to_owned()).or_default();
        *n = n.saturating_add(1);
        Duration::from_millis(250_u64.saturating_mul(1 << (*n).min(8))).min(Duration::from_mins(1))
    }

    async fn succeeded(&self, key: &str) {
        self.0.lock().await.remove(key);
    }
}

/// What kube's Controller calls.
pub async fn reconcile(incident: Arc<Incident>, state: Arc<(Arc<Context>, Backoff)>) -> Result<Action, Error> {
    let (ctx, backoff) = &*state;
    let key = incident.uid().unwrap_or_default();
    match step(&incident, ctx).await {
        Ok(action) => {
            backoff.succeeded(&key).await;
            Ok(action)
        }
        // Someone else wrote first: look again.
        Err(Error::Api(kube::Error::Api(status))) if status.is_conflict() => {
            Ok(Action::requeue(Duration::from_millis(100)))
        }
        Err(error) => {
            let pause = backoff.failed(&key).await;
            ctx.metrics
                .reconcile_errors
                .get_or_create(&ReasonLabel {
                    reason: error.reason().to_owned(),
                })
                .inc();
            tracing::warn!(
                incident = %format!("{}/{}", incident.namespace().unwrap_or_default(), incident.name_any()),
                incident_uid = %key, reason = error.reason(), %error, pause_ms = pause.as_millis(), "reconcile failed"
            );
            Ok(Action::requeue(pause))
        }
    }
}

/// Never reached: `reconcile` turns errors into requeues of its own.
pub fn error_policy(_: Arc<Incident>, _: &Error, _: Arc<(Arc<Context>, Backoff)>) -> Action {
    Action::requeue(Duration::from_secs(30))
}

const AT_ONCE: Duration = Duration::from_millis(5);

async fn step(seen: &Incident, ctx: &Context) -> Result<Action, Error> {
    let namespace = seen.namespace().unwrap_or_default();
    let api: Api<Incident> = Api::namespaced(ctx.client.clone(), &namespace);
    // The cache may lag behind our own last write; the status is replaced whole, so it is read anew.
    let Some(incident) = api.get_opt(&seen.name_any()).await? else {
        return Ok(Action::await_change());
    };
    if incident.uid() != seen.uid() {
        return Ok(Action::requeue(AT_ONCE));
    }
    let deleting = incident.metadata.deletion_timestamp.is_some();
    let held = incident.finalizers().iter().any(|f| f == FINALIZER);
    if deleting && !held {
        return Ok(Action::await_change());
    }
    if !held {
        hold(&api, &incident).await?;
        return Ok(Action::requeue(AT_ONCE));
    }
    relay::relay(ctx, &incident).await;
    // Beginnings are taken one by one: of two incidents about the same, the later must see that the other has begun.
    let mut turn = if observe::has_begun(&incident) {
        None
    } else {
        Some(ctx.beginning.lock().await)
    };
    let observed = observe::observe(ctx, &incident, turn.as_deref()).await?;
    let decision = decide(&observed.as_observation(&incident));
    tracing::debug!(incident_uid = ?incident.uid(), ?decision, "decided");
    match decision {
        Decision::Perform(Step::Release { stored }) => {
            release(ctx, &api, &incident, stored).await?;
            Ok(Action::await_change())
        }
        Decision::Perform(step) => {
            let begins = (step == Step::Accept).then(|| incident.uid()).flatten();
            perform::perform(ctx, incident, step, &observed).await?;
            if let Some(turn) = &mut turn {
                observe::forget_shown(ctx, turn);
                turn.extend(begins);
            }
            Ok(Action::requeue(AT_ONCE))
        }
        Decision::Finish {
            outcome,
            reason,
            message,
            actor,
        } => {
            perform::finish(
                ctx,
                incident,
                Transition {
                    to: Phase::Completed,
                    outcome: Some(outcome),
                    reason,
                    actor,
                    message,
                    payload: None,
                },
                &observed,
            )
            .await?;
            Ok(Action::requeue(AT_ONCE))
        }
        Decision::Wait { reason, recheck } => {
            let stalled = stall(reason, &observed, ctx).await;
            record::refresh(ctx, incident, stalled, observed.not_by_policy()).await?;
            Ok(Action::requeue(recheck.try_into().unwrap_or(Duration::from_secs(5))))
        }
        Decision::Rest => {
            let uid = incident.uid().unwrap_or_default();
            let incident = record::refresh(ctx, incident, None, None).await?;
            if incident.status.as_ref().is_some_and(|s| s.outbox.is_empty()) {
                perform::rest(ctx, &incident, &uid).await?;
            }
            Ok(Action::requeue(Duration::from_mins(10)))
        }
    }
}

/// Which waits are trouble, and what to do about each.
async fn stall(reason: Reason, observed: &Observed, ctx: &Context) -> Option<(Reason, String)> {
    if let Some(block) = observed.held().filter(|block| Reason::from(block.hold) == reason) {
        return Some((reason, block.said()));
    }
    let message = match reason {
        Reason::ApprovalGuardBroken => {
            let differences = ctx
                .guard
                .state()
                .await
                .map(|g| g.differences.join("; "))
                .unwrap_or_default();
            format!(
                "nothing is executed while the admission policies are not as this version's chart installs them ({differences}); \
                 install it again with helm upgrade --force-conflicts: without that flag, what was edited by hand stays"
            )
        }
        Reason::PolicySuspended => "a ResponsePolicy is suspended; set spec.suspended to false to go on".to_owned(),
        Reason::PoliciesTied => format!(
            "ResponsePolicies {} claim this namespace with the same priority, so that nothing is executed: give one of them a higher one",
            observed.policy.tied.join(", ")
        ),
        Reason::OutboxFull => "the outbox is full; the incident goes on when Postgres takes its transitions".to_owned(),
        Reason::AwaitingAudit => "execution waits until the approval is stored in Postgres".to_owned(),
        Reason::AwaitingCapacity => {
            "as many incidents as allowed are active; raise FIREWATCH_MAX_CONCURRENT (the chart's maxConcurrent) or the ResponsePolicy's maxConcurrent, or wait"
                .to_owned()
        }
        _ => return None,
    };
    Some((reason, message))
}

async fn hold(api: &Api<Incident>, incident: &Incident) -> Result<(), Error> {
    let mut finalizers = incident.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    set_finalizers(api, incident, &finalizers).await
}

async fn release(ctx: &Context, api: &Api<Incident>, incident: &Incident, stored: bool) -> Result<(), Error> {
    if !stored {
        let left = incident.status.as_ref().map_or(0, |s| s.outbox.len());
        let fault = ctx.audit_fault(&incident.uid().unwrap_or_default()).await;
        let message = lost(left, fault.as_ref());
        let reason = Reason::RecordLost;
        tracing::error!(incident_uid = ?incident.uid(), %reason, outbox = ?incident.status.as_ref().map(|s| &s.outbox), message);
        events::note(&ctx.recorder, incident, true, reason.as_ref(), "Release", &message).await;
    }
    if let Some(uid) = incident.uid() {
        super::payload::clean(ctx, &uid).await?;
        ctx.forget(&uid).await;
    }
    let finalizers: Vec<_> = incident
        .finalizers()
        .iter()
        .filter(|f| *f != FINALIZER)
        .cloned()
        .collect();
    set_finalizers(api, incident, &finalizers).await
}

/// What is said of an incident that is let go before all was stored: with the store's own reason, whichever store it is.
fn lost(left: usize, fault: Option<&(String, String)>) -> String {
    let why = fault.map_or_else(String::new, |(reason, message)| format!(" ({reason}: {message})"));
    format!(
        "let go with {left} transitions that could not be stored in time{why}; they are in the operator's log, in the line of this reason"
    )
}

/// Under the resourceVersion that was seen: finalizers of others are not lost.
async fn set_finalizers(api: &Api<Incident>, incident: &Incident, finalizers: &[String]) -> Result<(), Error> {
    let patch =
        serde_json::json!({"metadata": {"finalizers": finalizers, "resourceVersion": incident.resource_version()}});
    api.patch(&incident.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_lost_record_names_the_store_s_own_fault_and_no_database_where_there_is_none() {
        let fault = ("FileUnusable".to_owned(), "no space left".to_owned());
        let of_a_file = lost(3, Some(&fault));
        assert!(of_a_file.contains("3 transitions") && of_a_file.contains("FileUnusable: no space left"));
        for said in [of_a_file, lost(3, None)] {
            assert!(!said.contains("Database"), "{said}");
        }
    }
}
