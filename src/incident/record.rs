//! The one status write of a transition, under the resourceVersion that was observed: phase, conditions, sequence and outbox entry
//! together, or nothing. Called by `reconcile` and `perform`; nothing else writes an incident's status.

use firewatch_core::api::{Incident, Phase};
use firewatch_core::incident::conditions::{self, Facts};
use firewatch_core::incident::{Reason, Transition, transition};
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::context::Context;
use super::reconcile::Error;
use crate::telemetry::events;
use crate::telemetry::metrics::{OutcomeLabel, PhaseLabel};

/// Records a transition; the incident's status already holds what the step learned. Returns the incident as it is now stored.
pub fn commit<'a>(
    ctx: &'a Context,
    mut incident: Incident,
    transition: &'a Transition,
    stalled: Option<(Reason, String)>,
) -> BoxFuture<'a, Result<Incident, Error>> {
    Box::pin(async move {
        let now = Timestamp::now();
        let uid = incident.uid().ok_or(Error::Unidentified)?;
        let generation = incident.metadata.generation;
        let stored = ctx.stored_sequence(&uid).await;
        let facts = facts(ctx, &uid, generation, stalled, None).await;
        let mut status = incident.status.take().unwrap_or_default();
        let before = status.phase;
        let spent = status
            .phase_started_at
            .as_ref()
            .map(|began| now.duration_since(began.0).as_secs_f64());
        transition::prune(&mut status, stored);
        transition::apply(&mut status, &uid, transition, now);
        status.observed_generation = generation;
        conditions::set(&mut status, &facts, now);
        incident.status = Some(status);
        let written = replace(ctx, &incident).await?;

        if before != transition.to {
            ctx.metrics
                .phases
                .get_or_create(&PhaseLabel {
                    phase: transition.to.to_string(),
                })
                .inc();
            if let Some(seconds) = spent {
                ctx.metrics
                    .phase_seconds
                    .get_or_create(&PhaseLabel {
                        phase: before.to_string(),
                    })
                    .observe(seconds);
            }
        }
        if let Some(outcome) = transition.outcome {
            ctx.metrics
                .outcomes
                .get_or_create(&OutcomeLabel {
                    outcome: outcome.to_string(),
                })
                .inc();
        }
        let sequence = written.status.as_ref().map_or(0, |s| s.sequence);
        tracing::info!(
            incident = %format!("{}/{}", written.namespace().unwrap_or_default(), written.name_any()),
            incident_uid = %uid,
            sequence,
            from = %before,
            to = %transition.to,
            reason = %transition.reason,
            actor = %transition.actor,
            message = %transition.message,
            "transition"
        );
        events::publish(&ctx.recorder, &written, transition).await;
        Ok(written)
    })
}

/// Brings conditions and outbox up to date where no transition is due. Writes only what differs.
pub fn refresh<'a>(
    ctx: &'a Context,
    mut incident: Incident,
    stalled: Option<(Reason, String)>,
    not_by_policy: Option<&'a str>,
) -> BoxFuture<'a, Result<Incident, Error>> {
    Box::pin(async move {
        let uid = incident.uid().ok_or(Error::Unidentified)?;
        let generation = incident.metadata.generation;
        let facts = facts(ctx, &uid, generation, stalled.clone(), not_by_policy).await;
        let old = incident.status.clone().unwrap_or_default();
        let mut new = old.clone();
        transition::prune(&mut new, ctx.stored_sequence(&uid).await);
        new.observed_generation = generation;
        conditions::set(&mut new, &facts, Timestamp::now());
        if new == old {
            return Ok(incident);
        }
        let newly_stalled = is_stalled(&new) && !is_stalled(&old);
        incident.status = Some(new);
        let written = replace(ctx, &incident).await?;
        if let (true, Some((reason, message))) = (newly_stalled, stalled) {
            tracing::warn!(incident_uid = %uid, %reason, message, "stalled");
            events::note(&ctx.recorder, &written, true, reason.as_ref(), "Wait", &message).await;
        }
        Ok(written)
    })
}

fn is_stalled(status: &firewatch_core::api::IncidentStatus) -> bool {
    status
        .conditions
        .iter()
        .any(|c| c.type_ == firewatch_core::api::conditions::STALLED)
}

async fn facts(
    ctx: &Context,
    uid: &str,
    generation: Option<i64>,
    stalled: Option<(Reason, String)>,
    not_by_policy: Option<&str>,
) -> Facts {
    let guard = ctx.guard.state().await;
    Facts {
        generation,
        guard_known: guard.is_some(),
        guard_broken: guard.and_then(|g| if g.intact { None } else { Some(g.differences.join("; ")) }),
        audit_fault: ctx.audit_fault(uid).await,
        stalled,
        not_by_policy: not_by_policy.map(str::to_owned),
    }
}

async fn replace(ctx: &Context, incident: &Incident) -> Result<Incident, Error> {
    let namespace = incident.namespace().unwrap_or_default();
    let api: Api<Incident> = Api::namespaced(ctx.client.clone(), &namespace);
    Ok(api
        .replace_status(&incident.name_any(), &PostParams::default(), incident)
        .await?)
}

/// True while the incident has not ended.
pub fn is_active(incident: &Incident) -> bool {
    incident
        .status
        .as_ref()
        .is_some_and(|s| !matches!(s.phase, Phase::Pending | Phase::Blocked | Phase::Completed))
}
