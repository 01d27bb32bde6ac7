//! Fresh evidence after a change, and the judgement whether it helped. The same agent looks as in the investigation, from nothing.

use firewatch_core::agents::{AgentRun, AgentStep, commander};
use firewatch_core::api::status::{JobPurpose, JobRef, JobState};
use firewatch_core::api::{Incident, Phase, Role};
use firewatch_core::diagnosis::case_file::CaseFile;
use firewatch_core::incident::transition::Payload;
use firewatch_core::incident::{Reason, names, record_limits};
use firewatch_core::remediation::verify as judge;
use firewatch_core::sandbox::command::Command;
use kube::ResourceExt;

use super::execute::now;
use super::{diagnose, investigate, transition};
use crate::incident::case;
use crate::incident::context::Context;
use crate::incident::payload::{self, Record};
use crate::incident::reconcile::Error;
use crate::incident::record;
use crate::sandbox::jobs::{self, JobError};

fn purpose(incident: &Incident) -> JobPurpose {
    if incident.status.as_ref().is_some_and(|s| s.rollback.is_some()) {
        JobPurpose::RollbackVerification
    } else {
        JobPurpose::Verification
    }
}

fn last_round(incident: &Incident, purpose: JobPurpose) -> i64 {
    incident
        .status
        .iter()
        .flat_map(|s| &s.jobs)
        .filter(|j| j.purpose == purpose)
        .map(|j| j.round)
        .max()
        .unwrap_or(0)
}

/// Asks for a fresh look, from nothing.
pub async fn ask(ctx: &Context, incident: Incident) -> Result<(), Error> {
    let purpose = purpose(&incident);
    let round = last_round(&incident, purpose).saturating_add(1);
    let (run, commands) = investigate::first_look(&case::empty(&incident));
    let ask = Ask {
        run,
        commands,
        before: Vec::new(),
        collected: None,
    };
    send(ctx, incident, purpose, round, ask, Reason::VerificationStarted).await
}

/// What a round asks for.
struct Ask {
    /// The agent's machine after it asked.
    run: AgentRun,
    commands: Vec<Command>,
    /// Names of the records of this look's earlier rounds, which the new one adds to.
    before: Vec<String>,
    /// What the round before brought.
    collected: Option<Payload>,
}

/// Makes the Job of one round.
async fn send(
    ctx: &Context,
    mut incident: Incident,
    purpose: JobPurpose,
    round: i64,
    ask: Ask,
    reason: Reason,
) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let step = [purpose.to_string(), "ask".into(), round.to_string()];
    let record = Record {
        run: Some(ask.run),
        commands: ask.commands,
        collected: ask.collected,
        data: serde_json::json!({ "before": ask.before }),
        ..Record::default()
    };
    let (kept, payload) = payload::keep(ctx, &uid, &step.each_ref().map(String::as_str), record).await?;
    let name = names::child(&uid, &[purpose.as_ref(), "job", &round.to_string()]);
    let made = jobs::ensure_evidence_job(ctx, &incident, Role::SreInvestigator, &name, &kept.commands).await;
    let mut status = incident.status.take().unwrap_or_default();
    let mut job = JobRef {
        name,
        purpose,
        agent: Role::SreInvestigator,
        state: JobState::Running,
        round,
    };
    let (reason, message) = match made {
        Ok(()) => (reason, format!("fresh evidence is collected, round {round}")),
        Err(JobError::Refused { reason, message }) => {
            job.state = JobState::Failed;
            status.verified_at = Some(now());
            (reason, message)
        }
        Err(JobError::Other(error)) => return Err(error),
    };
    record_limits::push_job(&mut status, job);
    let phase = if purpose == JobPurpose::Verification {
        Phase::Verifying
    } else {
        Phase::RollingBack
    };
    incident.status = Some(status);
    record::commit(
        ctx,
        incident,
        &transition(phase, reason, "sre-investigator", message, Some(payload)),
        None,
    )
    .await?;
    Ok(())
}

/// Reads a round; asks for what it made interesting, or judges.
pub async fn collect(ctx: &Context, mut incident: Incident, job: JobRef) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let (evidence, collected) = match investigate::gather(ctx, &incident, &job).await? {
        Ok(gathered) => gathered,
        Err((reason, message)) => return investigate::note_failure(ctx, incident, &job, reason, message).await,
    };
    let step = [job.purpose.to_string(), "ask".into(), job.round.to_string()];
    let asked = payload::find_step(ctx, &uid, &step.each_ref().map(String::as_str)).await?;
    let asked = asked.ok_or_else(|| Error::Missing(format!("the record of verification round {}", job.round)))?;
    let mut before: Vec<String> =
        serde_json::from_value(asked.data.get("before").cloned().unwrap_or_default()).unwrap_or_default();
    let mut case = case::empty(&incident);
    for name in &before {
        add_from(ctx, &mut case, name).await?;
    }
    for item in &evidence {
        case.add(item);
    }
    before.push(collected.config_map.clone());
    if let Some(status) = &mut incident.status {
        investigate::add_evidence(status, &evidence, &collected.config_map);
        record_limits::set_job_state(status, &job.name, JobState::Collected);
    }
    let mut run = asked
        .run
        .clone()
        .unwrap_or_else(|| AgentRun::start(Role::SreInvestigator));
    match run.next(&case) {
        AgentStep::NeedEvidence(commands) => {
            let ask = Ask {
                run,
                commands,
                before,
                collected: Some(collected),
            };
            let round = job.round.saturating_add(1);
            send(ctx, incident, job.purpose, round, ask, Reason::VerificationContinues).await
        }
        AgentStep::Report(report) => {
            let fresh = commander::consolidate(&[report], &case);
            judge_it(ctx, incident, &job, &case, &fresh, collected).await
        }
    }
}

async fn add_from(ctx: &Context, case: &mut CaseFile, name: &str) -> Result<(), Error> {
    if let Some(record) = payload::find(ctx, name).await? {
        for item in &record.evidence {
            case.add(item);
        }
    }
    Ok(())
}

async fn judge_it(
    ctx: &Context,
    mut incident: Incident,
    job: &JobRef,
    case: &CaseFile,
    fresh: &firewatch_core::diagnosis::Diagnosis,
    collected: Payload,
) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let before = diagnose::recorded(ctx, &uid).await?;
    let mut status = incident.status.take().unwrap_or_default();
    let rolled_back = status.rollback.is_some();
    let mut verification = judge::judge(&before, fresh, case, status.plan.as_ref());
    if rolled_back {
        verification.passed = false;
        verification.rolled_back = Some(judge::is_taken_back(status.plan.as_ref(), case));
    }
    let step = [job.name.as_str(), "verdict"];
    let data = serde_json::to_value(&verification)?;
    let (_, kept) = payload::keep(
        ctx,
        &uid,
        &step,
        Record {
            data,
            collected: Some(collected),
            ..Record::default()
        },
    )
    .await?;
    status.verified_at = Some(now());
    let failing: Vec<_> = verification
        .checks
        .iter()
        .filter(|c| !c.passed)
        .map(|c| format!("{} ({})", c.name, c.observed))
        .collect();
    let (reason, message) = if verification.passed || verification.rolled_back == Some(true) {
        (
            Reason::VerificationPassed,
            format!("{} checks hold", verification.checks.len()),
        )
    } else {
        (
            Reason::VerificationContinues,
            format!("not yet: {}", failing.join("; ")),
        )
    };
    status.verification = Some(verification);
    let phase = status.phase;
    incident.status = Some(status);
    record::commit(
        ctx,
        incident,
        &transition(phase, reason, "sre-investigator", message, Some(kept)),
        None,
    )
    .await?;
    Ok(())
}
