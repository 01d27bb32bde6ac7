//! Conditions follow from phase, outcome and facts by one pure function; nothing else sets them. Called by `record`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::reason::Reason;
use super::transition::whole_second;
use crate::api::conditions as types;
use crate::api::status::{AgentState, AlertsStatus, Engine, ExecutionState, IncidentStatus};
use crate::api::{ApprovalState, Outcome, Phase};
use crate::intake::flap;
use crate::sandbox::evidence::Stage;
use crate::text::clip;

/// What conditions need to know beside the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The spec's generation that was looked at.
    pub generation: Option<i64>,
    /// Why the guards are not intact; absent where they are, or where it is not known yet.
    pub guard_broken: Option<String>,
    /// Whether the guards have been compared at all.
    pub guard_known: bool,
    /// Why nothing could be stored at the last try: the store's closed reason, and what it says.
    pub audit_fault: Option<(String, String)>,
    /// What keeps the incident from going on.
    pub stalled: Option<(Reason, String)>,
    /// Why no policy approves the plan that waits, where the incident asks for that.
    pub not_by_policy: Option<String>,
}

/// Sets all conditions anew. A transition time changes only when its status does.
pub fn set(status: &mut IncidentStatus, facts: &Facts, now: Timestamp) {
    let mut wanted = wanted(status, facts);
    wanted.extend(status.alerts.as_ref().and_then(|alerts| flapping(alerts, now)));
    let old = std::mem::take(&mut status.conditions);
    status.conditions = wanted
        .into_iter()
        .map(|w| {
            let since = old
                .iter()
                .find(|c| c.type_ == w.type_ && c.status == w.status)
                .map(|c| c.last_transition_time.clone());
            Condition {
                type_: w.type_.to_owned(),
                status: w.status.to_owned(),
                reason: w.reason,
                message: clip(&w.message, 1024),
                observed_generation: facts.generation,
                last_transition_time: since.unwrap_or_else(|| whole_second(now)),
            }
        })
        .collect();
}

struct Wanted {
    type_: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

fn is(type_: &'static str, status: &'static str, reason: impl AsRef<str>, message: impl Into<String>) -> Wanted {
    Wanted {
        type_,
        status,
        reason: reason.as_ref().to_owned(),
        message: message.into(),
    }
}

fn wanted(s: &IncidentStatus, facts: &Facts) -> Vec<Wanted> {
    let over = s.phase == Phase::Completed;
    // What has not happened yet is Unknown while it still may, and False once the incident is over.
    let open = |type_: &'static str| {
        if over {
            is(
                type_,
                FALSE,
                "NotReached",
                format!("the incident ended before: {}", s.message.clone().unwrap_or_default()),
            )
        } else {
            is(type_, UNKNOWN, "NotReached", format!("phase {}", s.phase))
        }
    };
    let mut all = vec![
        s.triage.as_ref().map_or_else(
            || open(types::TRIAGED),
            |t| {
                is(
                    types::TRIAGED,
                    TRUE,
                    Reason::Triaged,
                    format!("{} {}: {}", t.severity, t.category, t.rationale),
                )
            },
        ),
        investigated(s).unwrap_or_else(|| open(types::INVESTIGATED)),
        diagnosed(s).unwrap_or_else(|| open(types::DIAGNOSED)),
        match &s.plan {
            Some(p) if !p.actions.is_empty() => is(types::PLANNED, TRUE, Reason::PlanWritten, p.summary.clone()),
            Some(p) => is(
                types::PLANNED,
                FALSE,
                Reason::NoAutomaticAction,
                p.manual_reason.clone().unwrap_or_default(),
            ),
            None => open(types::PLANNED),
        },
        approved(s, facts).unwrap_or_else(|| open(types::APPROVED)),
        executed(s).unwrap_or_else(|| open(types::EXECUTED)),
        match &s.verification {
            Some(v) if v.passed => is(
                types::VERIFIED,
                TRUE,
                Reason::VerificationPassed,
                "every check holds on fresh evidence",
            ),
            Some(v) if over => {
                let failed: Vec<_> = v
                    .checks
                    .iter()
                    .filter(|c| !c.passed)
                    .map(|c| format!("{}: {}", c.name, c.observed))
                    .collect();
                is(types::VERIFIED, FALSE, Reason::VerificationFailed, failed.join("; "))
            }
            _ => open(types::VERIFIED),
        },
        match (&facts.audit_fault, s.outbox.len()) {
            (_, 0) => is(
                types::AUDIT_PERSISTED,
                TRUE,
                "Stored",
                format!("{} transitions are stored", s.sequence),
            ),
            (Some((reason, fault)), n) => is(
                types::AUDIT_PERSISTED,
                FALSE,
                reason,
                format!("{n} transitions wait: {fault}"),
            ),
            (None, n) => is(
                types::AUDIT_PERSISTED,
                FALSE,
                Reason::AwaitingAudit,
                format!("{n} transitions are on their way"),
            ),
        },
        match &facts.guard_broken {
            Some(difference) => is(
                types::APPROVAL_GUARD,
                FALSE,
                Reason::ApprovalGuardBroken,
                difference.clone(),
            ),
            None if facts.guard_known => is(
                types::APPROVAL_GUARD,
                TRUE,
                "Intact",
                "the admission policies are as this version expects them",
            ),
            None => is(
                types::APPROVAL_GUARD,
                UNKNOWN,
                "NotCompared",
                "the admission policies were not looked at yet",
            ),
        },
        succeeded(s),
    ];
    all.extend(s.alerts.as_ref().map(alert_resolved));
    all.extend(model_consulted(s));
    if let (Some((reason, message)), false) = (&facts.stalled, over) {
        all.push(is(types::STALLED, TRUE, reason, message.clone()));
    }
    all
}

/// Whether the alerts that made the incident still fire. It is a fact beside the outcome, and may come after it.
fn alert_resolved(alerts: &AlertsStatus) -> Wanted {
    match &alerts.resolved_at {
        Some(at) => is(
            types::ALERT_RESOLVED,
            TRUE,
            "Resolved",
            format!("no alert fires since {}", at.0),
        ),
        None if alerts.firing > 0 => is(types::ALERT_RESOLVED, FALSE, "Firing", "alerts fire".to_owned()),
        None => is(
            types::ALERT_RESOLVED,
            UNKNOWN,
            "CutShort",
            "not every alert of the group was sent",
        ),
    }
}

/// Whether the alerts come and go. It is known by what fired, whatever the incident itself is about.
fn flapping(alerts: &AlertsStatus, now: Timestamp) -> Option<Wanted> {
    let last = alerts.refired.last()?;
    Some(match flap::until(alerts, now) {
        Some(until) => is(
            types::FLAPPING,
            TRUE,
            Reason::Flapping,
            format!(
                "all alerts resolved and fired again {} times within an hour, last at {}; until {until}, if it stays quiet",
                flap::REFIRES,
                last.0
            ),
        ),
        None => is(
            types::FLAPPING,
            FALSE,
            "Steady",
            format!("the alerts last fired again at {}", last.0),
        ),
    })
}

/// Only where a model was asked: without one, nothing of an incident differs.
fn model_consulted(s: &IncidentStatus) -> Option<Wanted> {
    let usage = s.usage.as_ref().filter(|usage| usage.model_calls > 0)?;
    let spent = format!("{} calls, {} USD", usage.model_calls, usage.cost_usd);
    let alone = s
        .agents
        .iter()
        .filter(|agent| agent.engine == Engine::Model)
        .find_map(|agent| agent.message.as_ref().filter(|text| text.starts_with("by rules alone")));
    Some(match alone {
        Some(text) => is(
            types::MODEL_CONSULTED,
            FALSE,
            Reason::ModelUnavailable,
            format!("{spent}; {text}"),
        ),
        None => is(types::MODEL_CONSULTED, TRUE, Reason::ModelAnswered, spent),
    })
}

fn investigated(s: &IncidentStatus) -> Option<Wanted> {
    let asked: Vec<_> = s.agents.iter().filter(|a| a.state != AgentState::Skipped).collect();
    if asked.is_empty() || s.phase <= Phase::Investigating {
        return None;
    }
    let failed = asked.iter().filter(|a| a.state == AgentState::Failed).count();
    Some(if failed == asked.len() {
        is(types::INVESTIGATED, FALSE, Reason::AgentFailed, "no agent could report")
    } else {
        is(
            types::INVESTIGATED,
            TRUE,
            Reason::AgentReported,
            format!(
                "{} of {} agents reported on {} pieces of evidence",
                asked.len() - failed,
                asked.len(),
                s.evidence
                    .iter()
                    .filter(|e| Stage::of_id(&e.id) == Stage::Investigation)
                    .count()
            ),
        )
    })
}

fn diagnosed(s: &IncidentStatus) -> Option<Wanted> {
    if let Some(cause) = &s.root_cause {
        return Some(is(
            types::DIAGNOSED,
            TRUE,
            Reason::RootCauseFound,
            format!("{}: {}", cause.category, cause.summary),
        ));
    }
    match s.outcome {
        Some(Outcome::NoActionRequired) => Some(is(
            types::DIAGNOSED,
            TRUE,
            Reason::Healthy,
            s.message.clone().unwrap_or_default(),
        )),
        Some(Outcome::Inconclusive) => Some(is(
            types::DIAGNOSED,
            FALSE,
            Reason::Unexplained,
            s.message.clone().unwrap_or_default(),
        )),
        _ => None,
    }
}

fn approved(s: &IncidentStatus, facts: &Facts) -> Option<Wanted> {
    let name = s.approval_ref.as_ref().map(|r| r.name.clone()).unwrap_or_default();
    Some(match s.approval_state? {
        ApprovalState::Approved | ApprovalState::Consumed => is(types::APPROVED, TRUE, Reason::ApprovalGranted, name),
        ApprovalState::Rejected => is(
            types::APPROVED,
            FALSE,
            Reason::ApprovalRejected,
            s.message.clone().unwrap_or_default(),
        ),
        ApprovalState::Expired => is(types::APPROVED, FALSE, Reason::ApprovalExpired, name),
        ApprovalState::Pending | ApprovalState::Superseded if s.phase == Phase::Completed => return None,
        ApprovalState::Pending | ApprovalState::Superseded => is(
            types::APPROVED,
            UNKNOWN,
            Reason::AwaitingDecision,
            match &facts.not_by_policy {
                Some(why) => {
                    format!("RemediationApproval {name} waits for a person's decision; no policy approves it: {why}")
                }
                None => format!("RemediationApproval {name} waits for a decision"),
            },
        ),
    })
}

fn executed(s: &IncidentStatus) -> Option<Wanted> {
    let execution = s.execution.as_ref()?;
    let message = execution.message.clone().unwrap_or_default();
    Some(match execution.state {
        ExecutionState::Running => is(
            types::EXECUTED,
            UNKNOWN,
            Reason::ExecutionStarted,
            "the executor's pod is at work",
        ),
        ExecutionState::Succeeded => is(
            types::EXECUTED,
            TRUE,
            Reason::ExecutionFinished,
            "every action was carried out",
        ),
        ExecutionState::Failed => is(types::EXECUTED, FALSE, Reason::ExecutionFailed, message),
        ExecutionState::Refused => is(types::EXECUTED, FALSE, Reason::ExecutionRefused, message),
        ExecutionState::Unknown => is(types::EXECUTED, UNKNOWN, Reason::ExecutionUnknown, message),
    })
}

fn succeeded(s: &IncidentStatus) -> Wanted {
    let message = s.message.clone().unwrap_or_default();
    match s.outcome {
        None => is(types::SUCCEEDED, UNKNOWN, "Active", format!("phase {}", s.phase)),
        Some(outcome @ (Outcome::Remediated | Outcome::NoActionRequired | Outcome::Duplicate)) => {
            is(types::SUCCEEDED, TRUE, outcome, message)
        }
        Some(outcome) => is(types::SUCCEEDED, FALSE, outcome, message),
    }
}
