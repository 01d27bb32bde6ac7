//! Agents consult a model, after the rules have read everything: one paid call for each step, written ahead, budgeted, kept and replayed
//! for free. Whatever goes wrong ends in what the rules found.
//!
//! It must never call a model without a reservation that Postgres keeps, and never call twice for an answer that is kept. Called by
//! `diagnose` before it diagnoses, and by `advance` when evidence that a model asked for is there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firewatch_core::agents::model::answer::TokenUsage;
use firewatch_core::agents::model::budget::{Amount, Micros, Scope};
use firewatch_core::agents::model::consultation::due;
use firewatch_core::agents::model::{ConsultStep, Consultation, Failure, ModelAnswer, ModelRequest, Need, Outcome};
use firewatch_core::agents::{AgentReport, messages};
use firewatch_core::api::policy::Budgets;
use firewatch_core::api::status::{AgentState, Engine, JobPurpose, JobRef, JobState, Usage};
use firewatch_core::api::{Incident, IncidentStatus, Phase, Role};
use firewatch_core::approval::policy;
use firewatch_core::diagnosis::CaseFile;
use firewatch_core::incident::transition::Payload;
use firewatch_core::incident::{Reason, deadlines, names, record_limits};
use firewatch_core::sandbox::command::Command;
use firewatch_core::text::clip;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::{investigate, transition};
use crate::incident::context::Context;
use crate::incident::payload::{self, ModelCall, Record};
use crate::incident::reconcile::Error;
use crate::incident::record;
use crate::model::Models;
use crate::sandbox::jobs::{self, JobError};
use crate::store::{Reservation, Reserved};
use crate::telemetry::metrics::ModelLabel;

/// Left of the phase for the diagnosis itself.
const RESERVE: Duration = Duration::from_secs(15);
/// Calls of one agent, whatever it asks.
const CALLS: u8 = 8;

/// What the consultations came to.
pub enum Consulted {
    /// All are over: these are the reports.
    Reports(Vec<AgentReport>),
    /// A step was taken and recorded: look again.
    Later,
}

/// What has been paid, by agent.
#[derive(Default)]
struct Paid {
    calls: Vec<(Role, TokenUsage, Micros)>,
}

impl Paid {
    fn add(&mut self, role: Role, call: &ModelCall) {
        if let Some(answer) = &call.answer {
            self.calls.push((role, answer.usage, call.spent.cost));
        }
    }

    /// Counted anew from what is kept, so that status and record never differ.
    fn write(&self, status: &mut IncidentStatus) {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for agent in &mut status.agents {
            let own: Vec<_> = self.calls.iter().filter(|(role, ..)| *role == agent.role).collect();
            if own.is_empty() {
                continue;
            }
            agent.engine = Engine::Model;
            agent.turns = i64::try_from(own.len()).unwrap_or(i64::MAX);
            agent.tokens = own
                .iter()
                .map(|(_, usage, _)| signed(usage.prompt.saturating_add(usage.completion)))
                .fold(0, i64::saturating_add);
            let cost = own.iter().fold(Micros(0), |sum, (_, _, cost)| sum.plus(*cost));
            agent.cost_usd = Some(cost.to_string());
        }
        let sum = |of: fn(&TokenUsage) -> u64| self.calls.iter().fold(0_u64, |n, (_, u, _)| n.saturating_add(of(u)));
        let cost = self.calls.iter().fold(Micros(0), |sum, (_, _, cost)| sum.plus(*cost));
        status.usage = Some(Usage {
            prompt_tokens: signed(sum(|u| u.prompt)),
            completion_tokens: signed(sum(|u| u.completion)),
            cost_usd: cost.to_string(),
            model_calls: i64::try_from(self.calls.len()).unwrap_or(i64::MAX),
        });
    }
}

/// What the report of an incident says, for a model to read as data.
fn about(incident: &Incident) -> String {
    let spec = &incident.spec;
    let alert = spec.alert.as_ref().and_then(|alert| alert.name.clone());
    let parts = [Some(spec.title.clone()), spec.description.clone(), alert];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// How long calls may still take in this phase.
fn time_left(status: &IncidentStatus) -> Duration {
    let limit = deadlines::of(Phase::Investigating).map_or(Duration::ZERO, SignedDuration::unsigned_abs);
    let spent = status.phase_started_at.as_ref().map_or(Duration::ZERO, |began| {
        Timestamp::now().duration_since(began.0).unsigned_abs()
    });
    limit.saturating_sub(spent).saturating_sub(RESERVE)
}

/// Who consults in this round: decided once and kept, since what the models ask for may change what the rules find.
async fn planned(
    ctx: &Context,
    models: &Models,
    uid: &str,
    round: &str,
    reports: &[AgentReport],
    case: &CaseFile,
) -> Result<Vec<(Role, Need, Vec<String>)>, Error> {
    let step = ["model", "plan", round];
    if let Some(kept) = payload::find_step(ctx, uid, &step).await? {
        return Ok(serde_json::from_value(kept.data.clone())?);
    }
    let due = due(reports, case, models.config.sure, false);
    if due.is_empty() {
        return Ok(due);
    }
    let record = Record {
        data: serde_json::to_value(&due)?,
        ..Record::default()
    };
    let (kept, _) = payload::keep(ctx, uid, &step, record).await?;
    Ok(serde_json::from_value(kept.data.clone())?)
}

/// Takes the consultations one step further, or says that they are over. `reports`: what the rules reported.
pub async fn consult(
    ctx: &Context,
    incident: &Incident,
    case: &CaseFile,
    mut reports: Vec<AgentReport>,
    budgets: &Budgets,
) -> Result<Consulted, Error> {
    let Some(models) = &ctx.models else {
        return Ok(Consulted::Reports(reports));
    };
    let limits = policy::narrowed(&models.config.limits, budgets);
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let status = incident.status.clone().unwrap_or_default();
    let mut paid = Paid::default();
    for (round, second) in [("first", false), ("second", true)] {
        // A second look is due only where the first has come to two that stay apart.
        let consulted = reports.iter().any(|report| report.opinion.is_some());
        if second != consulted {
            break;
        }
        for (role, need, shared) in planned(ctx, models, &uid, round, &reports, case).await? {
            let mut consultation = Consultation::start(role, need, &about(incident), shared);
            let mut calls = 0_u8;
            let report = loop {
                match consultation.next(case) {
                    ConsultStep::Report(report) => break *report,
                    ConsultStep::NeedEvidence(commands) => {
                        if ask(ctx, incident, role, round, commands, &paid).await? {
                            return Ok(Consulted::Later);
                        }
                    }
                    ConsultStep::CallModel(request) => {
                        calls = calls.saturating_add(1);
                        let name = [
                            role.to_string(),
                            "model".to_owned(),
                            round.to_owned(),
                            calls.to_string(),
                        ];
                        let step = name.each_ref().map(String::as_str);
                        let most = models.config.timeout.saturating_mul(2);
                        let left = if calls > CALLS {
                            Duration::ZERO
                        } else {
                            time_left(&status).min(most)
                        };
                        let (call, at) =
                            Box::pin(exchange(ctx, (models, &limits), incident, &uid, &step, &request, left)).await?;
                        paid.add(role, &call);
                        // Cut off between a call's record and its status: the status is written now, the call is not made again.
                        let noted = status.usage.as_ref().map_or(0, |usage| usage.model_calls);
                        if i64::try_from(paid.calls.len()).unwrap_or(i64::MAX) > noted {
                            let nearly_spent = settle(ctx, &limits, &uid, &call).await;
                            note(ctx, incident.clone(), role, &call, &paid, nearly_spent, at).await?;
                            return Ok(Consulted::Later);
                        }
                        let answer = call.answer.as_ref();
                        let answer =
                            answer.ok_or_else(|| Error::Missing(format!("the answer of {}", name.join("-"))))?;
                        // The request as it was sent: evidence may have come since, and numbered the findings anew.
                        consultation.take(case, &call.request, answer);
                    }
                }
            };
            reports.retain(|one| one.role != role);
            reports.push(report);
        }
    }
    Ok(Consulted::Reports(reports))
}

/// One call: found as it was kept, or made once. A call that was begun and has no answer counts as spent and is not made again.
async fn exchange(
    ctx: &Context,
    (models, limits): (&Models, &BTreeMap<Scope, Amount>),
    incident: &Incident,
    uid: &str,
    step: &[&str],
    request: &ModelRequest,
    left: Duration,
) -> Result<(ModelCall, Payload), Error> {
    let done = [step, &["done"]].concat();
    if let Some((kept, at)) = payload::find_kept(ctx, uid, &done).await?
        && let Some(call) = kept.call.clone()
    {
        return Ok((call, at));
    }
    let now = Timestamp::now();
    let begun = [step, &["started"]].concat();
    let was_begun = payload::find_kept(ctx, uid, &begun).await?;
    let fresh = ModelCall {
        reservation: Reservation {
            call_id: names::child(uid, step),
            incident_uid: uid.to_owned(),
            namespace: incident.namespace().unwrap_or_default(),
            day: now.strftime("%Y-%m-%d").to_string(),
            amount: models.reservation(request),
        },
        request: request.clone(),
        request_digest: request.digest(),
        started_at: now,
        answer: None,
        spent: Amount::default(),
        duration_ms: 0,
        overbilled: false,
    };
    let failed = |failure: Failure, usage: TokenUsage| ModelAnswer {
        outcome: Outcome::Failed(failure),
        usage,
        model: models.model_of(request).to_owned(),
    };
    let whole = TokenUsage {
        prompt: request.reserved_prompt_tokens(),
        completion: u64::from(request.max_tokens),
    };
    let (mut call, answer) = match was_begun.and_then(|(kept, _)| kept.call.clone()) {
        Some(call) => (call, failed(Failure::Lost, whole)),
        None if left < Duration::from_secs(2) => (fresh, failed(Failure::TimedOut, TokenUsage::default())),
        None => match ctx.sink.reserve_call(&fresh.reservation, limits).await {
            Ok(Reserved::Granted) => {
                let record = Record {
                    call: Some(fresh.clone()),
                    ..Record::default()
                };
                payload::keep(ctx, uid, &begun, record).await?;
                let clock = Instant::now();
                let answer = Box::pin(models.call(request, left)).await;
                let mut call = fresh;
                call.duration_ms = i64::try_from(clock.elapsed().as_millis()).unwrap_or(i64::MAX);
                (call, answer)
            }
            Ok(Reserved::Spent(_)) => (fresh, failed(Failure::BudgetSpent, TokenUsage::default())),
            Ok(Reserved::NoBudgets) | Err(_) => (fresh, failed(Failure::NoBudgetStore, TokenUsage::default())),
        },
    };
    call.spent = Amount {
        tokens: answer.usage.prompt.saturating_add(answer.usage.completion),
        cost: models
            .price_of(request)
            .of(answer.usage.prompt, answer.usage.completion),
    };
    call.overbilled = !call.spent.fits(call.reservation.amount);
    call.answer = Some(answer);
    let record = Record {
        call: Some(call),
        ..Record::default()
    };
    let (kept, at) = payload::keep(ctx, uid, &done, record).await?;
    let call = kept
        .call
        .clone()
        .ok_or_else(|| Error::Missing("the call that was just kept".into()))?;
    Ok((call, at))
}

/// What was reserved becomes what was spent; whether a budget is nearly spent. After the answer is kept, so that both say the same
/// whatever dies in between. Settling again changes nothing, and neither does settling what was never reserved.
async fn settle(ctx: &Context, limits: &BTreeMap<Scope, Amount>, uid: &str, call: &ModelCall) -> bool {
    match ctx.sink.settle_call(&call.reservation, call.spent, limits).await {
        Ok(settled) => settled.nearly_spent,
        Err(error) => {
            tracing::warn!(incident_uid = uid, %error, "a model call could not be settled: what was reserved counts as spent");
            false
        }
    }
}

/// Records a call: usage in the status, its reason in the transition, its numbers in the metrics.
async fn note(
    ctx: &Context,
    mut incident: Incident,
    role: Role,
    call: &ModelCall,
    paid: &Paid,
    nearly_spent: bool,
    at: Payload,
) -> Result<(), Error> {
    let result = match call.answer.as_ref().map(|answer| &answer.outcome) {
        Some(Outcome::Failed(failure)) => failure.to_string(),
        Some(Outcome::Refused(_)) => "Refused".to_owned(),
        Some(Outcome::Truncated(_)) => "Truncated".to_owned(),
        Some(Outcome::Text(_)) | None => "Succeeded".to_owned(),
    };
    let mut status = incident.status.take().unwrap_or_default();
    paid.write(&mut status);
    for agent in status.agents.iter_mut().filter(|agent| agent.role == role) {
        agent.message = Some(format!("asks a model: {result}"));
    }
    incident.status = Some(status);
    let failed = matches!(call.answer.as_ref().map(|a| &a.outcome), Some(Outcome::Failed(_)));
    let reason = if failed {
        Reason::ModelUnavailable
    } else {
        Reason::ModelAnswered
    };
    let mut message = format!(
        "{role} asked a model, turn {}: {result}; {} tokens, {} USD ({})",
        call.request.turn, call.spent.tokens, call.spent.cost, call.request.prompt
    );
    if call.overbilled {
        message.push_str("; the provider billed more than it was asked for");
    }
    if nearly_spent {
        message.push_str("; a budget stands at 80 % or above");
    }
    let what = transition(
        Phase::Investigating,
        reason,
        role.to_string(),
        clip(&message, 1024),
        Some(at),
    );
    record::commit(ctx, incident, &what, None).await?;
    // Counted once it stands in the status: a write that lost is taken again.
    let label = ModelLabel {
        role: role.to_string(),
        result,
    };
    ctx.metrics.model_calls.get_or_create(&label).inc();
    ctx.metrics.model_tokens.get_or_create(&label).inc_by(call.spent.tokens);
    ctx.metrics
        .model_cost_micros
        .get_or_create(&label)
        .inc_by(call.spent.cost.0);
    Ok(())
}

/// Makes the Job that collects what a model asked for. False: it cannot be had, and the model goes on without.
async fn ask(
    ctx: &Context,
    incident: &Incident,
    role: Role,
    round: &str,
    commands: Vec<Command>,
    paid: &Paid,
) -> Result<bool, Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let mut incident = incident.clone();
    let mut status = incident.status.clone().unwrap_or_default();
    let name = names::child(&uid, &[role.as_ref(), "model", round, "job"]);
    if status.jobs.iter().any(|job| job.name == name) {
        return Ok(false);
    }
    // Counted on from what the rules asked, and kept in the same place: the evidence is numbered by it.
    let asked = investigate::asks(&status, role, JobPurpose::Evidence).saturating_add(1);
    let step = [role.to_string(), "ask".to_owned(), asked.to_string()];
    let record = Record {
        messages: messages::request(role, &commands),
        commands,
        ..Record::default()
    };
    let (kept, at) = payload::keep(ctx, &uid, &step.each_ref().map(String::as_str), record).await?;
    match jobs::ensure_evidence_job(ctx, &incident, role, &name, &kept.commands).await {
        Ok(()) => {}
        Err(JobError::Refused { reason, message }) => {
            tracing::warn!(incident_uid = %uid, %reason, message, "what a model asked for cannot be collected");
            return Ok(false);
        }
        Err(JobError::Other(error)) => return Err(error),
    }
    let job = JobRef {
        name,
        purpose: JobPurpose::Evidence,
        agent: role,
        state: JobState::Running,
        round: asked,
    };
    record_limits::push_job(&mut status, job);
    paid.write(&mut status);
    // Its Job is waited for as any other; `advance` brings it back here.
    for agent in status.agents.iter_mut().filter(|agent| agent.role == role) {
        agent.state = AgentState::Running;
        agent.engine = Engine::Model;
    }
    incident.status = Some(status);
    let what = transition(
        Phase::Investigating,
        Reason::EvidenceRequested,
        role.to_string(),
        format!("{role}'s model asks for {} command(s)", kept.commands.len()),
        Some(at),
    );
    record::commit(ctx, incident, &what, None).await?;
    Ok(true)
}

/// Evidence that a model asked for has come, or not: the consultation goes on with what there is.
pub async fn resume(ctx: &Context, mut incident: Incident, role: Role) -> Result<(), Error> {
    let mut status = incident.status.take().unwrap_or_default();
    let message = format!("{role} goes on with what its model asked for");
    investigate::settle_agent(&mut status, role, AgentState::Succeeded, &message);
    incident.status = Some(status);
    let what = transition(
        Phase::Investigating,
        Reason::EvidenceCollected,
        role.to_string(),
        message,
        None,
    );
    record::commit(ctx, incident, &what, None).await?;
    Ok(())
}
