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

pub use end::{finish, rest};

use super::context::Context;
use super::observe::Observed;
use super::reconcile::Error;

/// Does the step and records it.
pub async fn perform(ctx: &Context, incident: Incident, step: Step, observed: &Observed) -> Result<(), Error> {
    match step {
        Step::Accept => investigate::accept(ctx, incident).await,
        Step::Hold(block) => investigate::hold(ctx, incident, block).await,
        Step::Triage => investigate::triage(ctx, incident, observed).await,
        Step::Advance(role) => investigate::advance(ctx, incident, role).await,
        Step::Collect(job) => investigate::collect(ctx, incident, job).await,
        Step::NoteFailure { job, reason, message } => {
            investigate::note_failure(ctx, incident, &job, reason, message).await
        }
        Step::GiveUp { role, reason } => investigate::give_up(ctx, incident, role, reason).await,
        Step::Diagnose => diagnose::diagnose(ctx, incident, observed).await,
        Step::Plan => diagnose::plan(ctx, incident, observed).await,
        Step::Review => approval::review(ctx, incident, observed).await,
        Step::ApproveByPolicy(policy) => approval::by_policy(ctx, incident, policy).await,
        Step::Revise => approval::revise(ctx, incident).await,
        Step::Execute => execute::start(ctx, incident, false).await,
        Step::RollBack => execute::start(ctx, incident, true).await,
        Step::CollectExecution(job, facts) => execute::collect(ctx, incident, job, facts).await,
        Step::AskVerification => verify::ask(ctx, incident).await,
        Step::CollectVerification(job) => verify::collect(ctx, incident, job).await,
        // `reconcile` lets go itself: there is nothing left to record.
        Step::Release { .. } => Ok(()),
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
