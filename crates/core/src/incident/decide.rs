//! `decide`: from one observation to the one thing to do next. Pure and total.
//!
//! It never acts, never asks the time, and never lets a plan reach `Executing` without a decision that it sees itself; the
//! executor's pod then verifies everything again. Called by the operator's reconciler, once for each reconcile.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::deadlines::{
    self, AWAIT_RESOLVED, DELETION_HOLD, EVIDENCE_ATTEMPTS, MAX_RECHECK_BLOCK, OUTBOX_LIMIT, RECHECK_BLOCK, SETTLE,
    VERIFICATION_PAUSE,
};
use super::observation::{ApprovalFacts, JobFacts, Observation, PolicyVerdict};
use super::reason::Reason;
use crate::api::policy::PolicyMode;
use crate::api::status::{AgentState, ExecutionState, JobPurpose, JobRef, JobState, Verdict};
use crate::api::{
    ActionType, ApprovalState, Decision as PersonsDecision, Outcome, Phase, PlannedAction, PolicyRef, Role,
};
use crate::intake::gate::{Block, Gate};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Do this one thing, record it, and look again.
    Perform(Step),
    /// Nothing to do before something changes or `recheck` has passed.
    Wait {
        /// For what.
        reason: Reason,
        /// When to look again at the latest.
        recheck: SignedDuration,
    },
    /// The incident is over.
    Finish {
        /// How.
        outcome: Outcome,
        /// Closed reason.
        reason: Reason,
        /// In one sentence.
        message: String,
        /// Who or what caused it.
        actor: String,
    },
    /// The incident is over and everything about it is stored.
    Rest,
}

/// One durable unit of progress.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Take the incident up.
    Accept,
    /// Note what the incident waits for before it begins.
    Hold(Block),
    /// The Commander classifies and routes.
    Triage,
    /// An agent asks for evidence, or reports.
    Advance(Role),
    /// Read the result of an evidence Job.
    Collect(JobRef),
    /// Note that an evidence Job gave nothing.
    NoteFailure {
        /// Which.
        job: JobRef,
        /// Why.
        reason: Reason,
        /// What was said.
        message: String,
    },
    /// An agent cannot go on.
    GiveUp {
        /// Which.
        role: Role,
        /// Why.
        reason: Reason,
    },
    /// Findings become one root cause.
    Diagnose,
    /// The Planner writes the plan.
    Plan,
    /// The Commander reviews it, and an approval is asked for.
    Review,
    /// Record that the policy approves the plan. None: it has, and only the record of it is missing.
    ApproveByPolicy(Option<PolicyRef>),
    /// A person asked for another plan.
    Revise,
    /// Make the executor's Job.
    Execute,
    /// Read the result of the executor's Job, or its absence.
    CollectExecution(JobRef, JobFacts),
    /// Ask for fresh evidence after a change.
    AskVerification,
    /// Judge that evidence.
    CollectVerification(JobRef),
    /// Make the rollback's Job.
    RollBack,
    /// The outbox's first entries are stored elsewhere: let the incident go.
    Release {
        /// False when the hold ended before all was stored.
        stored: bool,
    },
}

/// From one observation to the one thing to do next.
pub fn decide(o: &Observation<'_>) -> Decision {
    if o.status.phase == Phase::Completed {
        return completed(o);
    }
    if o.status.outbox.len() >= OUTBOX_LIMIT {
        return wait(Reason::OutboxFull, 10);
    }
    if (o.spec.cancelled || o.deleting_since.is_some())
        && let Some(decision) = cancelled(o)
    {
        return decision;
    }
    if let Some(decision) = overdue(o) {
        return decision;
    }
    match o.status.phase {
        Phase::Pending | Phase::Blocked => beginning(o),
        Phase::Triaging => Decision::Perform(Step::Triage),
        Phase::Investigating => investigating(o),
        Phase::Diagnosing => Decision::Perform(Step::Diagnose),
        Phase::Planning => planning(o),
        Phase::Reviewing => reviewing(o),
        Phase::AwaitingApproval => awaiting_approval(o),
        Phase::Executing => executing(o),
        Phase::Verifying => verifying(o),
        Phase::RollingBack => rolling_back(o),
        Phase::Completed => Decision::Rest,
    }
}

/// Before it begins: is there something to look at, does nobody else look at it, and is there room?
fn beginning(o: &Observation<'_>) -> Decision {
    if let Some(why) = &o.untargeted {
        return finish(Outcome::Escalated, Reason::AlertWithoutTarget, why.clone());
    }
    match &o.gate {
        Gate::Settled { by } => finish(
            Outcome::Duplicate,
            Reason::DuplicateSettled,
            format!("incident {by} repaired the same, and the alerts of this one have resolved"),
        ),
        Gate::Held(block) if is_noted(o, block) => Decision::Wait {
            reason: block.hold.into(),
            recheck: look_again(o, block),
        },
        Gate::Held(block) => Decision::Perform(Step::Hold(block.clone())),
        Gate::Open if o.has_capacity => Decision::Perform(Step::Accept),
        Gate::Open => wait(Reason::AwaitingCapacity, 5),
    }
}

/// The longer it has waited the less often it looks: what waits must not cost more than what goes on. At once where its end is known.
fn look_again(o: &Observation<'_>, block: &Block) -> SignedDuration {
    let patient = (phase_age(o) / 4).clamp(RECHECK_BLOCK, MAX_RECHECK_BLOCK);
    block.until.map_or(patient, |then| until(o.now, then).min(patient))
}

fn is_noted(o: &Observation<'_>, block: &Block) -> bool {
    o.status.phase == Phase::Blocked
        && o.status
            .blocked
            .as_ref()
            .is_some_and(|noted| noted.reason == block.hold.as_ref() && noted.by == block.by)
}

fn wait(reason: Reason, seconds: i64) -> Decision {
    Decision::Wait {
        reason,
        recheck: SignedDuration::from_secs(seconds),
    }
}

fn finish(outcome: Outcome, reason: Reason, message: impl Into<String>) -> Decision {
    Decision::Finish {
        outcome,
        reason,
        message: message.into(),
        actor: "operator".into(),
    }
}

fn completed(o: &Observation<'_>) -> Decision {
    let stored = o.status.outbox.is_empty();
    let tried_long_enough = o
        .storing_since
        .is_some_and(|since| since.saturating_add(DELETION_HOLD).is_ok_and(|end| end <= o.now));
    match o.deleting_since {
        Some(_) if stored || tried_long_enough => Decision::Perform(Step::Release { stored }),
        _ if stored => Decision::Rest,
        _ => wait(Reason::AwaitingAudit, 5),
    }
}

/// What is being changed right now is not interrupted: its executor looks at `cancelled` itself before each action.
fn cancelled(o: &Observation<'_>) -> Option<Decision> {
    let (reason, message) = if o.spec.cancelled {
        (Reason::CancelledByUser, "cancelled by spec.cancelled")
    } else {
        (Reason::IncidentDeleted, "the incident was deleted")
    };
    let end = |message: String| Some(finish(Outcome::Cancelled, reason, message));
    match o.status.phase {
        Phase::Executing | Phase::RollingBack if is_claimed(o) && running_job(o).is_some() => None,
        Phase::Executing | Phase::RollingBack | Phase::Verifying => {
            let done = o
                .status
                .execution
                .as_ref()
                .map_or(0, |e| e.steps.iter().filter(|s| s.exit_code == Some(0)).count());
            end(format!(
                "{message}; {done} action(s) had been carried out and were left as they are"
            ))
        }
        _ => end(message.to_owned()),
    }
}

fn is_claimed(o: &Observation<'_>) -> bool {
    matches!(&o.approval, ApprovalFacts::Found { claim: Some(_), .. })
}

fn phase_age(o: &Observation<'_>) -> SignedDuration {
    o.status
        .phase_started_at
        .as_ref()
        .map_or(SignedDuration::ZERO, |began| o.now.duration_since(began.0))
}

fn overdue(o: &Observation<'_>) -> Option<Decision> {
    let mut limit = deadlines::of(o.status.phase)?;
    if o.status.phase == Phase::Verifying && o.status.rollback.is_none() {
        limit = deadlines::verification(o.status.plan.iter().flat_map(|plan| &plan.actions)).max(limit);
    }
    if phase_age(o) <= limit {
        return None;
    }
    let phase = o.status.phase;
    let message = format!("{phase} took longer than {} s", limit.as_secs());
    Some(match phase {
        // What is known so far is diagnosed; gaps lower confidence.
        Phase::Investigating => match working_agent(o) {
            Some(role) => Decision::Perform(Step::GiveUp {
                role,
                reason: Reason::PhaseDeadlineExceeded,
            }),
            None => return None,
        },
        // A result may still come, or the claim tells that there is none: never silently run again.
        Phase::Executing | Phase::RollingBack => match running_job(o) {
            Some(job) => Decision::Perform(Step::CollectExecution(
                job.clone(),
                JobFacts::Failed {
                    reason: Reason::SandboxTimedOut,
                    message,
                },
            )),
            None => finish(Outcome::Escalated, Reason::PhaseDeadlineExceeded, message),
        },
        // An operator that was away while the alert was waited for does not take a repair back that was seen to help.
        Phase::Verifying if has_helped(o) => verified(o),
        Phase::Verifying => not_verified(o, &message),
        _ => finish(Outcome::Escalated, Reason::PhaseDeadlineExceeded, message),
    })
}

fn working_agent(o: &Observation<'_>) -> Option<Role> {
    o.status
        .agents
        .iter()
        .find(|a| a.state == AgentState::Running)
        .map(|a| a.role)
}

fn running_job<'a>(o: &'a Observation<'_>) -> Option<&'a JobRef> {
    o.status.jobs.iter().find(|j| j.state == JobState::Running)
}

fn facts<'a>(o: &'a Observation<'_>, job: &JobRef) -> &'a JobFacts {
    o.jobs.get(&job.name).unwrap_or(&JobFacts::Missing)
}

/// Agents work in parallel: each has at most one Job at a time, and any that can go on does.
fn investigating(o: &Observation<'_>) -> Decision {
    let mut waiting = false;
    for agent in o.status.agents.iter().filter(|a| a.state == AgentState::Running) {
        let jobs = || {
            o.status
                .jobs
                .iter()
                .filter(|j| j.agent == agent.role && j.purpose == JobPurpose::Evidence)
        };
        if let Some(job) = jobs().find(|j| j.state == JobState::Running) {
            match facts(o, job) {
                JobFacts::Running => waiting = true,
                JobFacts::Ended => return Decision::Perform(Step::Collect(job.clone())),
                JobFacts::Missing => {
                    return note_failure(
                        job,
                        Reason::SandboxJobLost,
                        "the Job is gone before its result was read",
                    );
                }
                JobFacts::Failed { reason, message } => return note_failure(job, *reason, message),
            }
            continue;
        }
        let failed = jobs().filter(|j| j.state == JobState::Failed).count();
        if failed >= EVIDENCE_ATTEMPTS {
            return Decision::Perform(Step::GiveUp {
                role: agent.role,
                reason: Reason::SandboxFailed,
            });
        }
        return Decision::Perform(Step::Advance(agent.role));
    }
    if waiting {
        wait(Reason::AwaitingSandbox, 2)
    } else {
        Decision::Perform(Step::Diagnose)
    }
}

fn note_failure(job: &JobRef, reason: Reason, message: &str) -> Decision {
    Decision::Perform(Step::NoteFailure {
        job: job.clone(),
        reason,
        message: message.to_owned(),
    })
}

fn tied(o: &Observation<'_>) -> String {
    format!(
        "ResponsePolicies {} claim this namespace with the same priority, so that nothing is executed: give one of them a higher one",
        o.policy.tied.join(", ")
    )
}

fn planning(o: &Observation<'_>) -> Decision {
    if o.policy.mode == PolicyMode::Observe && !o.policy.tied.is_empty() {
        return finish(Outcome::Escalated, Reason::PoliciesTied, tied(o));
    }
    if o.policy.mode == PolicyMode::Observe {
        return finish(
            Outcome::Escalated,
            Reason::PolicyObserveOnly,
            format!(
                "ResponsePolicy {} observes only: the cause is named, no plan is made",
                o.policy.name
            ),
        );
    }
    Decision::Perform(Step::Plan)
}

fn reviewing(o: &Observation<'_>) -> Decision {
    let Some(plan) = &o.status.plan else {
        return Decision::Perform(Step::Plan);
    };
    if plan.actions.is_empty() {
        let why = plan
            .manual_reason
            .clone()
            .unwrap_or_else(|| "the plan holds nothing that Firewatch may do itself".into());
        return finish(Outcome::Escalated, Reason::NoAutomaticAction, why);
    }
    match &o.status.review {
        Some(review) if review.verdict == Verdict::Reject => finish(
            Outcome::Escalated,
            Reason::ReviewRejected,
            format!("the Commander rejected the plan: {}", review.reasons.join("; ")),
        ),
        Some(_) if !o.policy.tied.is_empty() => finish(Outcome::Escalated, Reason::PoliciesTied, tied(o)),
        Some(_) if o.policy.mode == PolicyMode::Suggest => finish(
            Outcome::Escalated,
            Reason::PolicySuggestOnly,
            format!(
                "ResponsePolicy {} suggests only: the plan is shown and not executed",
                o.policy.name
            ),
        ),
        // The review is recorded together with the approval; without one the step is taken again and finds what it made.
        Some(_) | None => Decision::Perform(Step::Review),
    }
}

fn feedback_is_new(o: &Observation<'_>) -> bool {
    o.spec.revision_feedback.is_some() && o.spec.revision_feedback != o.status.observed_feedback
}

fn awaiting_approval(o: &Observation<'_>) -> Decision {
    let ApprovalFacts::Found {
        decision,
        complete,
        by_policy,
        approver,
        reason,
        expires_at,
        claim,
    } = &o.approval
    else {
        return finish(
            Outcome::Escalated,
            Reason::ApprovalMissing,
            "the approval is gone; without it nothing may be executed",
        );
    };
    let by = approver.clone().unwrap_or_default();
    let why = reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
    if *decision == PersonsDecision::Rejected {
        return Decision::Finish {
            outcome: Outcome::Rejected,
            reason: Reason::ApprovalRejected,
            message: format!("rejected by {by}{why}"),
            actor: format!("user:{by}"),
        };
    }
    if claim.is_none() && feedback_is_new(o) {
        return Decision::Perform(Step::Revise);
    }
    if claim.is_none() && *expires_at <= o.now {
        return finish(
            Outcome::Expired,
            Reason::ApprovalExpired,
            "nobody approved the plan in time",
        );
    }
    let may_start = o.guard_intact && !o.policy.suspended && o.policy.tied.is_empty();
    if let PolicyVerdict::Approves(policy) = &o.by_policy
        && *decision == PersonsDecision::Pending
        && may_start
    {
        return Decision::Perform(Step::ApproveByPolicy(Some(policy.clone())));
    }
    // Cut off between the decision and its record.
    if *by_policy && *complete && claim.is_none() && o.status.approval_state == Some(ApprovalState::Pending) {
        return Decision::Perform(Step::ApproveByPolicy(None));
    }
    if !*complete {
        return Decision::Wait {
            reason: Reason::AwaitingDecision,
            recheck: until(o.now, *expires_at),
        };
    }
    if !o.guard_intact {
        return wait(Reason::ApprovalGuardBroken, 5);
    }
    if o.policy.suspended {
        return wait(Reason::PolicySuspended, 5);
    }
    if !o.policy.tied.is_empty() {
        return wait(Reason::PoliciesTied, 5);
    }
    if o.policy.require_audit && !o.approval_stored {
        return wait(Reason::AwaitingAudit, 2);
    }
    Decision::Perform(Step::Execute)
}

fn until(now: Timestamp, then: Timestamp) -> SignedDuration {
    then.duration_since(now)
        .clamp(SignedDuration::from_secs(1), SignedDuration::from_secs(30))
}

fn job_of<'a>(o: &'a Observation<'_>, purpose: JobPurpose) -> Option<&'a JobRef> {
    o.status.jobs.iter().rev().find(|j| j.purpose == purpose)
}

fn executing(o: &Observation<'_>) -> Decision {
    match job_of(o, JobPurpose::Execution) {
        Some(job) if job.state == JobState::Running => match facts(o, job) {
            JobFacts::Running => wait(Reason::AwaitingSandbox, 3),
            seen => Decision::Perform(Step::CollectExecution(job.clone(), seen.clone())),
        },
        Some(_) => after_execution(o),
        None => finish(
            Outcome::Escalated,
            Reason::ExecutionUnknown,
            "no Job is recorded for an execution that had begun",
        ),
    }
}

/// The execution is recorded: where to, from there.
fn after_execution(o: &Observation<'_>) -> Decision {
    let Some(execution) = &o.status.execution else {
        return finish(
            Outcome::Escalated,
            Reason::ExecutionUnknown,
            "the execution left no record; look at the target before anything else",
        );
    };
    let message = execution.message.clone().unwrap_or_default();
    match execution.state {
        ExecutionState::Succeeded => Decision::Perform(Step::AskVerification),
        ExecutionState::Refused => finish(
            Outcome::Escalated,
            Reason::ExecutionRefused,
            format!("the executor refused and changed nothing: {message}"),
        ),
        ExecutionState::Failed if changed_something(o) && can_roll_back(o) => Decision::Perform(Step::RollBack),
        ExecutionState::Failed => finish(
            Outcome::RemediationFailed,
            Reason::ExecutionFailed,
            format!("the plan could not be carried out: {message}"),
        ),
        ExecutionState::Unknown | ExecutionState::Running => finish(
            Outcome::Escalated,
            Reason::ExecutionUnknown,
            format!("the executor took the plan and left no result; it is never run again: {message}"),
        ),
    }
}

fn changed_something(o: &Observation<'_>) -> bool {
    o.status
        .execution
        .as_ref()
        .is_some_and(|e| e.steps.iter().any(|s| s.exit_code == Some(0) && !s.action.is_empty()))
}

/// Whether the plan has a way back that was approved with it. A restart alone has none and needs none: pods are replaced.
fn can_roll_back(o: &Observation<'_>) -> bool {
    let Some(plan) = &o.status.plan else { return false };
    let has_way_back = |a: &PlannedAction| !a.rollback.is_empty();
    o.status.rollback.is_none()
        && plan.actions.iter().any(has_way_back)
        && plan
            .actions
            .iter()
            .all(|a| has_way_back(a) || a.action_type == ActionType::RestartRollout)
}

fn verifying(o: &Observation<'_>) -> Decision {
    if has_helped(o) {
        return verified(o);
    }
    verification_round(o, JobPurpose::Verification)
}

fn has_helped(o: &Observation<'_>) -> bool {
    o.status.rollback.is_none() && o.status.verification.as_ref().is_some_and(|v| v.passed)
}

/// Fresh evidence shows the cause gone. Where an alert made the incident, it is given some time to say so too: rules look back, and a
/// repair that works is not taken back because an alert is slow.
fn verified(o: &Observation<'_>) -> Decision {
    let message = match &o.status.alerts {
        Some(alerts) if alerts.firing > 0 && phase_age(o) < AWAIT_RESOLVED => {
            return wait(Reason::AwaitingAlert, 3);
        }
        Some(alerts) if alerts.firing > 0 => {
            "the plan was carried out, and fresh evidence shows the cause gone; its alert has not resolved yet and is watched"
        }
        Some(alerts) if alerts.resolved_at.is_some() => {
            "the plan was carried out, fresh evidence shows the cause gone, and the alert has resolved"
        }
        _ => "the plan was carried out, and fresh evidence shows the cause gone",
    };
    finish(Outcome::Remediated, Reason::VerificationPassed, message)
}

/// One round of fresh evidence after another, with a pause between them, until one passes or the phase's deadline ends it.
fn verification_round(o: &Observation<'_>, purpose: JobPurpose) -> Decision {
    match job_of(o, purpose) {
        Some(job) if job.state == JobState::Running => match facts(o, job) {
            JobFacts::Running => wait(Reason::AwaitingSandbox, 2),
            JobFacts::Ended => Decision::Perform(Step::CollectVerification(job.clone())),
            JobFacts::Missing => note_failure(
                job,
                Reason::SandboxJobLost,
                "the Job is gone before its result was read",
            ),
            JobFacts::Failed { reason, message } => note_failure(job, *reason, message),
        },
        last => {
            let pause = if last.is_some() { VERIFICATION_PAUSE } else { SETTLE };
            let since = o
                .status
                .verified_at
                .as_ref()
                .or(o.status.phase_started_at.as_ref())
                .map_or(o.now, |t| t.0);
            let rested = o.now.duration_since(since);
            if rested >= pause {
                Decision::Perform(Step::AskVerification)
            } else {
                Decision::Wait {
                    reason: Reason::AwaitingSettling,
                    recheck: pause.saturating_add(-rested),
                }
            }
        }
    }
}

fn not_verified(o: &Observation<'_>, message: &str) -> Decision {
    if can_roll_back(o) {
        return Decision::Perform(Step::RollBack);
    }
    finish(
        Outcome::RemediationFailed,
        Reason::VerificationFailed,
        format!("the plan was carried out and did not help, and has no way back: {message}"),
    )
}

fn rolling_back(o: &Observation<'_>) -> Decision {
    match job_of(o, JobPurpose::Rollback) {
        Some(job) if job.state == JobState::Running => match facts(o, job) {
            JobFacts::Running => wait(Reason::AwaitingSandbox, 3),
            seen => Decision::Perform(Step::CollectExecution(job.clone(), seen.clone())),
        },
        Some(_) => match &o.status.rollback {
            Some(done) if done.state == ExecutionState::Succeeded => after_rollback(o),
            Some(done) => finish(
                Outcome::RemediationFailed,
                Reason::RollbackFinished,
                format!(
                    "the plan did not help and could not be taken back ({}); a person must look",
                    done.state
                ),
            ),
            None => finish(
                Outcome::RemediationFailed,
                Reason::ExecutionUnknown,
                "the rollback left no record; a person must look",
            ),
        },
        None => finish(
            Outcome::RemediationFailed,
            Reason::ExecutionUnknown,
            "no Job is recorded for a rollback that had begun",
        ),
    }
}

fn after_rollback(o: &Observation<'_>) -> Decision {
    match &o.status.verification {
        Some(verification) if verification.rolled_back == Some(true) => finish(
            Outcome::RolledBack,
            Reason::RollbackFinished,
            "the plan did not help and was taken back, as fresh evidence shows; a person must go on",
        ),
        _ => verification_round(o, JobPurpose::RollbackVerification),
    }
}
