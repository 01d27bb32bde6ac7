//! One step, done and recorded. Every step is safe to repeat: children have deterministic names, records are written before the
//! status that refers to them, and the status write itself is one and under the resourceVersion that was observed.
//!
//! Nothing here touches a workload: the operator only makes Jobs, ConfigMaps and approvals of its own. Called by `reconcile`.

mod approval;
mod consult;
mod diagnose;
mod end;
mod execute;
mod investigate;
mod verify;

use firewatch_core::api::{Incident, Phase};
use firewatch_core::incident::transition::Payload;
use firewatch_core::incident::{Reason, Step, Transition};
use futures::future::BoxFuture;

pub use end::{finish, rest};

use super::context::Context;
use super::observe::Observed;
use super::reconcile::Error;

/// Does the step and records it. On the heap: what a step holds while it waits would otherwise lie on the stack of every caller.
pub fn perform<'a>(
    ctx: &'a Context,
    incident: Incident,
    step: Step,
    observed: &'a Observed,
) -> BoxFuture<'a, Result<(), Error>> {
    match step {
        Step::Accept => Box::pin(investigate::accept(ctx, incident)),
        Step::Hold(block) => Box::pin(investigate::hold(ctx, incident, block)),
        Step::Triage => Box::pin(investigate::triage(ctx, incident, observed)),
        Step::Advance(role) => Box::pin(investigate::advance(ctx, incident, role)),
        Step::Collect(job) => Box::pin(investigate::collect(ctx, incident, job)),
        Step::NoteFailure { job, reason, message } => {
            Box::pin(async move { investigate::note_failure(ctx, incident, &job, reason, message).await })
        }
        Step::GiveUp { role, reason } => Box::pin(investigate::give_up(ctx, incident, role, reason)),
        Step::Diagnose => Box::pin(diagnose::diagnose(ctx, incident, observed)),
        Step::Plan => Box::pin(diagnose::plan(ctx, incident, observed)),
        Step::Review => Box::pin(approval::review(ctx, incident, observed)),
        Step::ApproveByPolicy(policy) => Box::pin(approval::by_policy(ctx, incident, policy)),
        Step::Revise => Box::pin(approval::revise(ctx, incident)),
        Step::Execute => Box::pin(execute::start(ctx, incident, false)),
        Step::RollBack => Box::pin(execute::start(ctx, incident, true)),
        Step::CollectExecution(job, facts) => Box::pin(execute::collect(ctx, incident, job, facts)),
        Step::AskVerification => Box::pin(verify::ask(ctx, incident)),
        Step::CollectVerification(job) => Box::pin(verify::collect(ctx, incident, job)),
        // `reconcile` lets go itself: there is nothing left to record.
        Step::Release { .. } => Box::pin(async { Ok(()) }),
    }
}

/// A transition inside the operator's own work.
fn transition(
    to: Phase,
    reason: Reason,
    actor: impl Into<String>,
    message: impl Into<String>,
    payload: Option<Payload>,
) -> Transition {
    Transition {
        to,
        outcome: None,
        reason,
        actor: actor.into(),
        message: message.into(),
        payload,
    }
}
