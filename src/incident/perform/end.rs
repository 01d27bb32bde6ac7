//! The end of an incident, however it came, and the rest after it.

use firewatch_core::api::status::{ExecutionState, JobState};
use firewatch_core::api::{ApprovalState, Incident, Outcome};
use firewatch_core::incident::Transition;
use kube::ResourceExt;

use super::approval;
use crate::incident::context::Context;
use crate::incident::observe::Observed;
use crate::incident::payload;
use crate::incident::reconcile::Error;
use crate::incident::{record, relay};

/// Records the end. What people must do next is part of it.
pub async fn finish(ctx: &Context, mut incident: Incident, what: Transition, observed: &Observed) -> Result<(), Error> {
    let state = match what.outcome {
        Some(Outcome::Rejected) => Some(ApprovalState::Rejected),
        Some(Outcome::Expired) => Some(ApprovalState::Expired),
        Some(Outcome::Cancelled) if !observed.is_claimed() => Some(ApprovalState::Superseded),
        _ => None,
    };
    if let Some(state) = state {
        approval::note_state(ctx, &incident, state).await?;
    }
    let mut status = incident.status.take().unwrap_or_default();
    if state.is_some() && status.approval_ref.is_some() {
        status.approval_state = state;
    }
    for job in status.jobs.iter_mut().filter(|j| j.state == JobState::Running) {
        job.state = JobState::Failed;
    }
    status.next_steps = next_steps(&status, what.outcome);
    incident.status = Some(status);
    record::commit(ctx, incident, &what, None).await?;
    Ok(())
}

/// What a person should do now, by how it ended.
fn next_steps(status: &firewatch_core::api::IncidentStatus, outcome: Option<Outcome>) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    if let Some(execution) = &status.execution
        && execution.state == ExecutionState::Unknown
    {
        steps.push("look at each object of status.plan.actions: is its field at `from` or at `to`? The plan is never run again by itself".into());
    }
    match outcome {
        Some(Outcome::Inconclusive) => return status.next_steps.clone(),
        Some(Outcome::Expired) => steps.push("create the incident again to get a fresh plan".into()),
        Some(Outcome::RolledBack | Outcome::RemediationFailed) => {
            steps.push("the root cause stands in status.rootCause; its evidence in `kubectl incident report`".into());
        }
        _ => {}
    }
    if let Some(plan) = &status.plan {
        if outcome != Some(Outcome::Remediated)
            && let Some(why) = &plan.manual_reason
        {
            steps.push(why.clone());
        }
        steps.extend(plan.long_term_fixes.iter().cloned());
    }
    steps.truncate(8);
    steps.iter().map(|s| firewatch_core::text::clip(s, 1024)).collect()
}

/// Everything is stored: the row for people's questions is written, and the sandbox namespace is cleaned.
pub async fn rest(ctx: &Context, incident: &Incident, uid: &str) -> Result<(), Error> {
    if ctx.is_at_rest(uid).await {
        return Ok(());
    }
    if relay::conclude(ctx, incident).await {
        payload::clean(ctx, uid).await?;
        ctx.rest(uid).await;
    }
    tracing::debug!(incident = %incident.name_any(), "at rest");
    Ok(())
}
