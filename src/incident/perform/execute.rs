//! Executions and rollbacks: the operator makes the executor's Job and reads what it did. It cannot do it itself, and whether the
//! Job may act is decided by the executor's pod alone, from the approval that it reads from the API server.

use firewatch_core::api::approval::RemediationApproval;
use firewatch_core::api::status::{Execution, ExecutionState, JobPurpose, JobRef, JobState};
use firewatch_core::api::{ApprovalState, Incident, Phase, Role};
use firewatch_core::incident::observation::JobFacts;
use firewatch_core::incident::transition::whole_second;
use firewatch_core::incident::{Reason, names, record_limits};
use firewatch_core::text::clip;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt};

use super::{approval, transition};
use crate::incident::context::Context;
use crate::incident::payload::{self, Record};
use crate::incident::reconcile::Error;
use crate::incident::record;
use crate::sandbox::jobs::{self, JobError};
use crate::sandbox::outcomes;

/// The time, in the whole seconds that the API server keeps.
pub fn now() -> Time {
    whole_second(Timestamp::now())
}

/// Makes the executor's Job for the plan, or for its inverse.
pub async fn start(ctx: &Context, mut incident: Incident, rollback: bool) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let approved = incident
        .status
        .as_ref()
        .and_then(|s| s.approval_ref.clone())
        .ok_or_else(|| Error::Missing("the approval".into()))?;
    let lane = if rollback { "rollback" } else { "remediate" };
    // One name for one approval: there is never a second Job for it.
    let name = names::child(&uid, &[lane, &approved.uid]);
    let made = jobs::ensure_executor_job(ctx, &incident, rollback, &name, &approved).await;
    let mut status = incident.status.take().unwrap_or_default();
    let purpose = if rollback {
        JobPurpose::Rollback
    } else {
        JobPurpose::Execution
    };
    let mut job = JobRef {
        name,
        purpose,
        agent: Role::RemediationPlanner,
        state: JobState::Running,
        round: 1,
    };
    let mut execution = Execution {
        state: ExecutionState::Running,
        started_at: Some(now()),
        finished_at: None,
        message: None,
        steps: Vec::new(),
    };
    let (reason, message) = match made {
        Ok(()) if rollback => (
            Reason::RollbackStarted,
            format!("the approved inverse of plan {} is carried out", approved.name),
        ),
        Ok(()) => (
            Reason::ExecutionStarted,
            format!(
                "the executor was given {}; it verifies everything itself before it acts",
                approved.name
            ),
        ),
        Err(JobError::Refused { reason, message }) => {
            job.state = JobState::Failed;
            execution.state = ExecutionState::Refused;
            execution.message = Some(clip(&message, 1024));
            (reason, message)
        }
        Err(JobError::Other(error)) => return Err(error),
    };
    record_limits::push_job(&mut status, job);
    if rollback {
        status.rollback = Some(execution);
        // Judged anew after the rollback.
        status.verified_at = None;
    } else {
        status.execution = Some(execution);
        status.approval_state = Some(ApprovalState::Approved);
    }
    let phase = if rollback { Phase::RollingBack } else { Phase::Executing };
    incident.status = Some(status);
    if !rollback {
        approval::note_state(ctx, &incident, ApprovalState::Approved).await?;
    }
    record::commit(
        ctx,
        incident,
        &transition(phase, reason, "operator", message, None),
        None,
    )
    .await?;
    Ok(())
}

/// Reads what the executor did, or what the approval says of it where there is no result.
pub async fn collect(ctx: &Context, mut incident: Incident, job: JobRef, facts: JobFacts) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let rollback = job.purpose == JobPurpose::Rollback;
    let lane = if rollback { "rollback" } else { "remediate" };
    let claim = claim(ctx, &incident, rollback).await?;
    let result = match &facts {
        JobFacts::Missing => Err((
            Reason::SandboxJobLost,
            "the Job is gone before its result was read".to_owned(),
        )),
        JobFacts::Failed { reason, message } => match outcomes::read_execution(ctx, &job, claim.as_ref()).await? {
            Ok(read) => Ok(read),
            Err(_) => Err((*reason, message.clone())),
        },
        JobFacts::Running | JobFacts::Ended => outcomes::read_execution(ctx, &job, claim.as_ref()).await?,
    };
    let mut lines = Vec::new();
    let (state, message, steps) = match result {
        Ok(read) => {
            lines = read.lines;
            (read.state, read.message, read.steps)
        }
        // A claim without a result: never run again. No claim: nothing was changed.
        Err((reason, message)) if claim.is_some() => (
            ExecutionState::Unknown,
            Some(format!("{reason}: {message}")),
            Vec::new(),
        ),
        Err((reason, message)) => (
            ExecutionState::Refused,
            Some(format!("{reason}: {message}")),
            Vec::new(),
        ),
    };
    outcomes::count(ctx, lane, state.as_ref());
    let data = serde_json::json!({ "state": state, "message": message, "steps": steps });
    let (_, kept) = payload::keep(
        ctx,
        &uid,
        &[lane, "result"],
        Record {
            lines,
            data,
            ..Record::default()
        },
    )
    .await?;
    let mut status = incident.status.take().unwrap_or_default();
    record_limits::set_job_state(&mut status, &job.name, JobState::Collected);
    let slot = if rollback {
        &mut status.rollback
    } else {
        &mut status.execution
    };
    let started_at = slot.as_ref().and_then(|e| e.started_at.clone());
    *slot = Some(Execution {
        state,
        started_at,
        finished_at: Some(now()),
        message: message.as_ref().map(|m| clip(m, 1024)),
        steps: steps.into_iter().take(48).collect(),
    });
    if claim.is_some() {
        status.approval_state = Some(ApprovalState::Consumed);
    }
    let verify = state == ExecutionState::Succeeded && !rollback;
    let phase = if verify { Phase::Verifying } else { status.phase };
    let reason = match (rollback, state) {
        (true, ExecutionState::Succeeded) => Reason::RollbackFinished,
        (_, ExecutionState::Succeeded) => Reason::ExecutionFinished,
        (_, ExecutionState::Refused) => Reason::ExecutionRefused,
        (_, ExecutionState::Unknown | ExecutionState::Running) => Reason::ExecutionUnknown,
        (_, ExecutionState::Failed) => Reason::ExecutionFailed,
    };
    let text = match &message {
        Some(message) => format!("{lane}: {state}: {message}"),
        None => format!("{lane}: {state}"),
    };
    incident.status = Some(status);
    if claim.is_some() {
        approval::note_state(ctx, &incident, ApprovalState::Consumed).await?;
    }
    record::commit(
        ctx,
        incident,
        &transition(phase, reason, "remediation-executor", text, Some(kept)),
        None,
    )
    .await?;
    Ok(())
}

/// The claim of this execution, read anew: it decides between "nothing was changed" and "nobody knows".
async fn claim(
    ctx: &Context,
    incident: &Incident,
    rollback: bool,
) -> Result<Option<firewatch_core::api::Claim>, Error> {
    let Some(approved) = incident.status.as_ref().and_then(|s| s.approval_ref.clone()) else {
        return Ok(None);
    };
    let api: Api<RemediationApproval> = Api::namespaced(ctx.client.clone(), &incident.namespace().unwrap_or_default());
    let status = api
        .get_opt(&approved.name)
        .await?
        .filter(|a| a.uid().as_deref() == Some(approved.uid.as_str()))
        .and_then(|a| a.status);
    Ok(status.and_then(|s| if rollback { s.rollback_claim } else { s.claim }))
}
