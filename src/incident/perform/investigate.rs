//! Intake, triage and investigation: agents ask for evidence, sandbox Jobs collect it, agents report.

use firewatch_core::agents::{self, AgentRun, AgentStep, commander, messages};
use firewatch_core::api::status::{
    AgentState, AgentStatus, Blocked, Engine, EvidenceRef, JobPurpose, JobRef, JobState,
};
use firewatch_core::api::{Incident, IncidentStatus, Phase, Role};
use firewatch_core::diagnosis::{self, questions};
use firewatch_core::incident::{Reason, record_limits};
use firewatch_core::intake::gate::Block;
use firewatch_core::metrics::outcome::Asked;
use firewatch_core::report::build::shortened;
use firewatch_core::sandbox::command::{Command, Resource};
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState, measured_id};
use firewatch_core::text::clip;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{consult, transition};
use crate::incident::case;
use crate::incident::context::Context;
use crate::incident::observe::Observed;
use crate::incident::payload::{self, Record};
use crate::incident::reconcile::Error;
use crate::incident::record;
use crate::sandbox::jobs::{self, JobError};
use crate::sandbox::outcomes;

/// Takes the incident up.
pub async fn accept(ctx: &Context, mut incident: Incident) -> Result<(), Error> {
    let mut status = incident.status.take().unwrap_or_default();
    status.occurrences = status.occurrences.max(1);
    status.blocked = None;
    incident.status = Some(status);
    let by = incident
        .spec
        .requested_by
        .as_ref()
        .map_or_else(|| "operator".to_owned(), |who| format!("user:{who}"));
    let message = format!("accepted: {}", incident.spec.title);
    record::commit(
        ctx,
        incident,
        &transition(Phase::Triaging, Reason::Accepted, by, message, None),
        None,
    )
    .await?;
    Ok(())
}

/// Notes what the incident waits for before it begins.
pub async fn hold(ctx: &Context, mut incident: Incident, block: Block) -> Result<(), Error> {
    let mut status = incident.status.take().unwrap_or_default();
    let message = block.said();
    status.blocked = Some(Blocked {
        reason: block.hold.to_string(),
        until: block.until.map(Time),
        by: block.by,
    });
    incident.status = Some(status);
    let stalled = Some((block.hold.into(), message.clone()));
    record::commit(
        ctx,
        incident,
        &transition(Phase::Blocked, block.hold.into(), "operator", message, None),
        stalled,
    )
    .await?;
    Ok(())
}

/// The Commander classifies and routes.
pub async fn triage(ctx: &Context, mut incident: Incident, observed: &Observed) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let triage = commander::triage(&incident.spec, None);
    let triage = commander::routed(triage, &incident.spec, &observed.policy.routing);
    let said = messages::triage(&triage);
    let data = serde_json::to_value(&triage)?;
    let (_, kept) = payload::keep(
        ctx,
        &uid,
        &["triage"],
        Record {
            messages: said,
            data,
            ..Record::default()
        },
    )
    .await?;
    let mut status = incident.status.take().unwrap_or_default();
    let now = Time(Timestamp::now());
    status.agents = [Role::SreInvestigator, Role::CodeAnalyst]
        .into_iter()
        .map(|role| AgentStatus {
            role,
            engine: Engine::Rules,
            state: if triage.agents.contains(&role) {
                AgentState::Running
            } else {
                AgentState::Skipped
            },
            started_at: triage.agents.contains(&role).then(|| now.clone()),
            finished_at: None,
            evidence: 0,
            turns: 0,
            tokens: 0,
            cost_usd: None,
            message: None,
        })
        .collect();
    let message = clip(
        &format!("{} {}: {}", triage.severity, triage.category, triage.rationale),
        1024,
    );
    status.triage = Some(triage);
    incident.status = Some(status);
    record::commit(
        ctx,
        incident,
        &transition(Phase::Investigating, Reason::Triaged, "commander", message, Some(kept)),
        None,
    )
    .await?;
    Ok(())
}

/// The number that tells this ask of an agent from its others: how many Jobs it has had.
pub(super) fn asks(status: &IncidentStatus, role: Role, purpose: JobPurpose) -> i64 {
    status
        .jobs
        .iter()
        .filter(|j| j.agent == role && j.purpose == purpose)
        .map(|j| j.round)
        .max()
        .unwrap_or(0)
}

/// An agent asks for evidence, or reports.
pub async fn advance(ctx: &Context, mut incident: Incident, role: Role) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let status = incident.status.clone().unwrap_or_default();
    if status
        .agents
        .iter()
        .any(|agent| agent.role == role && agent.engine == Engine::Model)
    {
        return consult::resume(ctx, incident, role).await;
    }
    let asked = asks(&status, role, JobPurpose::Evidence);
    let actor = role.to_string();
    let last_failed = status.jobs.iter().any(|j| {
        j.agent == role && j.purpose == JobPurpose::Evidence && j.round == asked && j.state == JobState::Failed
    });
    let step_name = |n: i64| [actor.clone(), "ask".to_owned(), n.to_string()];
    let previous = if asked == 0 {
        None
    } else {
        let name = step_name(asked);
        let found = payload::find_step(ctx, &uid, &name.each_ref().map(String::as_str)).await?;
        Some(found.ok_or_else(|| Error::Missing(format!("the record of {role}'s round {asked}")))?)
    };
    let next_name = step_name(asked.saturating_add(1));
    let next_name = next_name.each_ref().map(String::as_str);
    // A step that was cut off between its record and its status is taken up from its record.
    let (kept, kept_at) = if let Some(found) = payload::find_kept(ctx, &uid, &next_name).await? {
        found
    } else {
        let record = match &previous {
            // The sandbox failed, not the agent: the same is asked once more.
            Some(before) if last_failed => Record {
                run: before.run.clone(),
                commands: before.commands.clone(),
                ..Record::default()
            },
            before => {
                let mut run = before
                    .as_ref()
                    .and_then(|r| r.run.clone())
                    .unwrap_or_else(|| AgentRun::start(role));
                let case = case::load(ctx, &incident).await?;
                match run.next(&case) {
                    AgentStep::NeedEvidence(commands) => Record {
                        messages: messages::request(role, &commands),
                        run: Some(run),
                        commands,
                        ..Record::default()
                    },
                    AgentStep::Report(report) => return report_in(ctx, incident, role, report).await,
                }
            }
        };
        payload::keep(ctx, &uid, &next_name, record).await?
    };
    let round = asked.saturating_add(1);
    let name = firewatch_core::incident::names::child(&uid, &[&actor, "job", &round.to_string()]);
    let made = jobs::ensure_evidence_job(ctx, &incident, role, &name, &kept.commands).await;
    let mut status = incident.status.take().unwrap_or_default();
    let mut job = JobRef {
        name,
        purpose: JobPurpose::Evidence,
        agent: role,
        state: JobState::Running,
        round,
    };
    let (reason, message) = match made {
        Ok(()) => (
            Reason::EvidenceRequested,
            format!("{role} asks for {} command(s), round {round}", kept.commands.len()),
        ),
        Err(JobError::Refused { reason, message }) => {
            job.state = JobState::Failed;
            (reason, message)
        }
        Err(JobError::Other(error)) => return Err(error),
    };
    record_limits::push_job(&mut status, job);
    incident.status = Some(status);
    record::commit(
        ctx,
        incident,
        &transition(Phase::Investigating, reason, actor, message, Some(kept_at)),
        None,
    )
    .await?;
    Ok(())
}

async fn report_in(
    ctx: &Context,
    mut incident: Incident,
    role: Role,
    report: agents::AgentReport,
) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let record = Record {
        messages: report.messages.clone(),
        report: Some(report),
        ..Record::default()
    };
    let (kept, payload) = payload::keep(ctx, &uid, &[role.as_ref(), "report"], record).await?;
    let summary = kept.report.as_ref().map(|r| r.summary.clone()).unwrap_or_default();
    let mut status = incident.status.take().unwrap_or_default();
    settle_agent(&mut status, role, AgentState::Succeeded, &summary);
    incident.status = Some(status);
    let what = transition(
        Phase::Investigating,
        Reason::AgentReported,
        role.to_string(),
        format!("{role} reports: {summary}"),
        Some(payload),
    );
    record::commit(ctx, incident, &what, None).await?;
    Ok(())
}

/// How an agent ended, in the status.
pub(super) fn settle_agent(status: &mut IncidentStatus, role: Role, state: AgentState, message: &str) {
    let evidence = status.evidence.iter().filter(|e| e.agent == role).count();
    for agent in status.agents.iter_mut().filter(|a| a.role == role) {
        agent.state = state;
        agent.finished_at = Some(Time(Timestamp::now()));
        agent.evidence = i64::try_from(evidence).unwrap_or(i64::MAX);
        agent.message = Some(clip(message, 1024));
    }
}

/// Reads an evidence Job's output into the record.
pub async fn collect(ctx: &Context, mut incident: Incident, job: JobRef) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let (evidence, payload) = match gather(ctx, &incident, &job).await? {
        Ok(gathered) => gathered,
        Err((reason, message)) => return note_failure(ctx, incident, &job, reason, message).await,
    };
    let mut status = incident.status.take().unwrap_or_default();
    let missing = add_evidence(&mut status, &evidence, &payload.config_map);
    record_limits::set_job_state(&mut status, &job.name, JobState::Collected);
    incident.status = Some(status);
    let mut message = format!(
        "{} collected {} piece(s) of evidence, round {}",
        job.agent,
        evidence.len(),
        job.round
    );
    if !missing.is_empty() {
        message.push_str("; not whole: ");
        message.push_str(&missing.join(", "));
    }
    tracing::debug!(incident_uid = %uid, job = %job.name, "collected");
    let what = transition(
        Phase::Investigating,
        Reason::EvidenceCollected,
        job.agent.to_string(),
        message,
        Some(payload),
    );
    record::commit(ctx, incident, &what, None).await?;
    Ok(())
}

/// The result of reading a Job: its evidence and where it is kept, or a closed reason.
pub type Gathered = Result<(Vec<Evidence>, firewatch_core::incident::transition::Payload), (Reason, String)>;

/// Reads a Job's log, checks it, numbers its evidence and keeps it.
pub async fn gather(ctx: &Context, incident: &Incident, job: &JobRef) -> Result<Gathered, Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let step = [job.name.as_str(), "evidence"];
    if let Some((found, kept)) = payload::find_kept(ctx, &uid, &step).await? {
        return Ok(Ok((found.evidence.clone(), kept)));
    }
    let before = asked_before(ctx, incident, job).await?;
    let mut evidence = match outcomes::read_evidence(ctx, job, before).await? {
        Ok(evidence) => evidence,
        Err(fault) => return Ok(Err(fault)),
    };
    let measured = measure(ctx, incident, job, &evidence).await?;
    evidence.extend(measured);
    let (kept, payload) = payload::keep(
        ctx,
        &uid,
        &step,
        Record {
            evidence,
            ..Record::default()
        },
    )
    .await?;
    Ok(Ok((kept.evidence.clone(), payload)))
}

/// What a Prometheus measured of the target's pods, where one is configured and this round listed pods: then it is known whose matter.
async fn measure(
    ctx: &Context,
    incident: &Incident,
    job: &JobRef,
    evidence: &[Evidence],
) -> Result<Vec<Evidence>, Error> {
    let Some(prometheus) = &ctx.prometheus else {
        return Ok(Vec::new());
    };
    let lists_pods = evidence.iter().any(
        |one| matches!(&one.command, Command::Get { resources, name: None, .. } if resources.contains(&Resource::Pods)),
    );
    if job.agent != Role::SreInvestigator || !lists_pods {
        return Ok(Vec::new());
    }
    let mut case = case::empty(incident);
    for one in evidence {
        case.add(one);
    }
    let commands = questions::metrics(&diagnosis::view(&case).facts);
    let questions = commands.into_iter().enumerate().map(|(position, command)| Asked {
        id: measured_id(job.purpose, job.round, position),
        role: job.agent,
        command,
        request: None,
    });
    let tenancy = jobs::tenancy(ctx, incident).await?;
    Ok(prometheus.ask(questions.collect(), &tenancy).await)
}

/// How many commands the investigation's Jobs before this one were asked for. Their order in the status never changes, so the number is
/// the same whichever of them is read first, and however often.
async fn asked_before(ctx: &Context, incident: &Incident, job: &JobRef) -> Result<usize, Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    if job.purpose != JobPurpose::Evidence {
        return Ok(0);
    }
    let jobs = incident.status.iter().flat_map(|s| &s.jobs);
    let earlier = jobs
        .filter(|j| j.purpose == JobPurpose::Evidence)
        .take_while(|j| j.name != job.name);
    let mut commands = 0_usize;
    for JobRef { agent, round, .. } in earlier {
        let step = [agent.to_string(), "ask".to_owned(), round.to_string()];
        let asked = payload::find_step(ctx, &uid, &step.each_ref().map(String::as_str)).await?;
        let asked = asked.ok_or_else(|| Error::Missing(format!("the record of {agent}'s round {round}")))?;
        commands = commands.saturating_add(asked.commands.len());
    }
    Ok(commands)
}

/// Notes evidence in the status; returns which of it is not whole.
pub fn add_evidence(status: &mut IncidentStatus, evidence: &[Evidence], config_map: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for item in evidence {
        if item.state != EvidenceState::Complete {
            missing.push(format!("{} {}", item.id, item.state));
        }
        let reference = EvidenceRef {
            id: item.id.clone(),
            agent: item.agent,
            command: shortened(&item.argv),
            state: item.state.to_string(),
            sha256: item.sha256.clone(),
            config_map: Some(config_map.to_owned()),
        };
        record_limits::push_evidence(status, reference);
    }
    missing
}

/// An evidence Job gave nothing: noted with its closed reason.
pub async fn note_failure(
    ctx: &Context,
    mut incident: Incident,
    job: &JobRef,
    reason: Reason,
    message: String,
) -> Result<(), Error> {
    let mut status = incident.status.take().unwrap_or_default();
    record_limits::set_job_state(&mut status, &job.name, JobState::Failed);
    status.verified_at = matches!(job.purpose, JobPurpose::Verification | JobPurpose::RollbackVerification)
        .then(|| Time(Timestamp::now()))
        .or(status.verified_at);
    let phase = status.phase;
    incident.status = Some(status);
    outcomes::count(ctx, "observe", reason.as_ref());
    let text = format!("sandbox Job {} of {} gave nothing: {message}", job.name, job.agent);
    record::commit(
        ctx,
        incident,
        &transition(phase, reason, job.agent.to_string(), text, None),
        None,
    )
    .await?;
    Ok(())
}

/// An agent cannot go on; what is known is diagnosed without it.
pub async fn give_up(ctx: &Context, mut incident: Incident, role: Role, reason: Reason) -> Result<(), Error> {
    let mut status = incident.status.take().unwrap_or_default();
    settle_agent(&mut status, role, AgentState::Failed, &format!("no report: {reason}"));
    for job in status
        .jobs
        .iter_mut()
        .filter(|j| j.agent == role && j.state == JobState::Running)
    {
        job.state = JobState::Failed;
    }
    incident.status = Some(status);
    let message = format!("{role} could not report ({reason}); the diagnosis goes on without it");
    record::commit(
        ctx,
        incident,
        &transition(
            Phase::Investigating,
            Reason::AgentFailed,
            role.to_string(),
            message,
            None,
        ),
        None,
    )
    .await?;
    Ok(())
}

/// Commands that a fresh look at the target begins with.
pub fn first_look(case: &firewatch_core::diagnosis::case_file::CaseFile) -> (AgentRun, Vec<Command>) {
    let mut run = AgentRun::start(Role::SreInvestigator);
    let commands = match run.next(case) {
        AgentStep::NeedEvidence(commands) => commands,
        AgentStep::Report(_) => Vec::new(),
    };
    (run, commands)
}
