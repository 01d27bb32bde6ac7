//! A notice: what is worth telling about one transition, as a document that every channel's form is made from. It is made when the
//! transition is relayed, from the incident as it then stands, and kept in the outbox until it is told.
//!
//! Quiet by design: steps inside a phase, duplicates and what waits for another incident are never told. Called by the relay.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter};

use crate::api::incident::AlertSource;
use crate::api::status::{IncidentStatus, OutboxEntry, PlanStatus};
use crate::api::{Incident, Outcome, Phase, Risk, Severity};
use crate::approval::digest::approve_command;
use crate::intake::pagerduty;
use crate::intake::reject::clean;
use crate::report::markdown::shell_line;
use crate::sandbox::redact::redact;
use crate::text::clip;

/// The longest sentence of a notice.
const SENTENCE: usize = 1024;
/// The longest command.
const COMMAND: usize = 4096;

/// Why a notice is sent.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, AsRefStr, Display, EnumIter,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Occasion {
    /// An investigation began.
    Opened,
    /// A plan waits for a person.
    ApprovalNeeded,
    /// An approved plan is being carried out.
    Executing,
    /// A plan is being taken back.
    RollingBack,
    /// It is over.
    Ended,
}

/// What is told about one transition.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// uid of the incident.
    pub incident_uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Number of the transition.
    pub sequence: i64,
    /// When that was, RFC 3339.
    pub at: String,
    /// Why this is told.
    pub occasion: Occasion,
    /// The phase that the transition led to.
    pub phase: Phase,
    /// Who or what caused it.
    pub actor: String,
    /// Closed reason.
    pub reason: String,
    /// What happened, in one sentence.
    pub message: String,
    /// What the incident is called.
    pub title: String,
    /// How much it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The object in trouble, `Kind/name`.
    pub target: String,
    /// How often it was reported.
    pub occurrences: i64,
    /// The cause, where one is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What is proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The complete line by which a person approves, while that is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What was done, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// What was seen afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What a person should do next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_steps: Vec<String>,
    /// The incident's id at PagerDuty, where it came from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagerduty: Option<String>,
}

/// The cause.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What kind of trouble.
    pub category: String,
    /// In one sentence.
    pub summary: String,
    /// Where.
    pub object: String,
    /// From "0.00" to "1.00".
    pub confidence: String,
}

/// The plan.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Which one.
    pub revision: i64,
    /// Its identity.
    pub digest: String,
    /// The highest risk.
    pub risk: Risk,
    /// In one line.
    pub summary: String,
    /// What will be done, in this order.
    pub steps: Vec<Step>,
    /// After this time its approval is void, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// One action.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which.
    pub id: String,
    /// The exact command.
    pub command: String,
    /// What it does to what serves.
    pub impact: String,
    /// The command that takes it back; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
}

/// One thing that was looked at.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was seen.
    pub observed: String,
}

/// Whether a transition is told, and as what.
pub fn occasion(entry: &OutboxEntry, outcome: Option<Outcome>) -> Option<Occasion> {
    if entry.from == entry.to {
        return None;
    }
    let unopened = matches!(entry.from, Phase::Pending | Phase::Blocked);
    match entry.to {
        Phase::Triaging => Some(Occasion::Opened),
        Phase::AwaitingApproval => Some(Occasion::ApprovalNeeded),
        Phase::Executing => Some(Occasion::Executing),
        Phase::RollingBack => Some(Occasion::RollingBack),
        // Of what never began only what a person must look at is told.
        Phase::Completed if unopened => (outcome == Some(Outcome::Escalated)).then_some(Occasion::Ended),
        Phase::Completed => (outcome != Some(Outcome::Duplicate)).then_some(Occasion::Ended),
        _ => None,
    }
}

/// What is told about a transition of an incident; nothing where it is not worth a message.
pub fn notice(incident: &Incident, entry: &OutboxEntry) -> Option<Notice> {
    let empty = IncidentStatus::default();
    let status = incident.status.as_ref().unwrap_or(&empty);
    let occasion = occasion(entry, status.outcome)?;
    let namespace = incident.namespace().unwrap_or_default();
    let ended = occasion == Occasion::Ended;
    // Where the incident has gone on since, its line would no longer work.
    let waits = status.phase == Phase::AwaitingApproval && occasion == Occasion::ApprovalNeeded;
    let with_plan = occasion != Occasion::Opened;
    Some(Notice {
        incident_uid: incident.uid()?,
        name: incident.name_any(),
        sequence: entry.sequence,
        at: entry.at.0.to_string(),
        occasion,
        phase: entry.to,
        actor: said(&entry.actor),
        reason: said(&entry.reason),
        message: said(&entry.message),
        title: said(&incident.spec.title),
        severity: severity(incident),
        target: match &incident.spec.target {
            Some(target) => said(&format!("{}/{}", target.kind, target.name)),
            None => format!("Namespace/{namespace}"),
        },
        occurrences: status.occurrences,
        cause: status.root_cause.as_ref().filter(|_| with_plan).map(|cause| Cause {
            category: said(&cause.category),
            summary: said(&cause.summary),
            object: said(&cause.object.to_string()),
            confidence: said(&cause.confidence),
        }),
        plan: status.plan.as_ref().filter(|_| with_plan).map(plan),
        approve: status
            .approval_ref
            .as_ref()
            .filter(|_| waits)
            .map(|approval| approve_command(&namespace, &approval.name)),
        outcome: status.outcome.filter(|_| ended),
        execution: executed(status).filter(|_| ended),
        checks: match &status.verification {
            Some(verification) if ended => verification
                .checks
                .iter()
                .map(|check| Check {
                    name: said(&check.name),
                    passed: check.passed,
                    observed: said(&check.observed),
                })
                .collect(),
            _ => Vec::new(),
        },
        next_steps: if ended {
            status.next_steps.iter().map(|step| said(step)).collect()
        } else {
            Vec::new()
        },
        pagerduty: from_pagerduty(incident),
        namespace,
    })
}

/// As triage assessed it; until then as it was asked for.
pub fn severity(incident: &Incident) -> Option<Severity> {
    let triaged = incident.status.as_ref().and_then(|status| status.triage.as_ref());
    triaged.map(|triage| triage.severity).or(incident.spec.severity)
}

/// The labels of its alert, by which it is routed.
pub fn labels(incident: &Incident) -> BTreeMap<String, String> {
    incident
        .spec
        .alert
        .as_ref()
        .map(|alert| alert.labels.clone())
        .unwrap_or_default()
}

fn plan(plan: &PlanStatus) -> Plan {
    Plan {
        revision: plan.revision,
        digest: plan.digest.clone(),
        risk: plan.risk,
        summary: said(&plan.summary),
        steps: plan
            .actions
            .iter()
            .map(|action| Step {
                id: said(&action.id),
                command: command(&action.command),
                impact: said(&action.impact),
                rollback: (!action.rollback.is_empty()).then(|| command(&action.rollback)),
            })
            .collect(),
        expires_at: plan.expires_at.as_ref().map(|at| at.0.to_string()),
    }
}

fn executed(status: &IncidentStatus) -> Option<String> {
    let of = |what: &str, execution: &crate::api::status::Execution| {
        let why = execution.message.as_deref().filter(|message| !message.is_empty());
        let why = why.map_or(String::new(), |why| format!(": {}", said(why)));
        format!("{what}: {}{why}", execution.state)
    };
    let done = status.execution.as_ref().map(|execution| of("plan", execution));
    let undone = status.rollback.as_ref().map(|execution| of("rollback", execution));
    let both: Vec<String> = done.into_iter().chain(undone).collect();
    (!both.is_empty()).then(|| both.join("; "))
}

/// Only where the intake itself wrote down that this incident came from there: a spec alone is anybody's word, and would let a tenant
/// resolve somebody else's page.
fn from_pagerduty(incident: &Incident) -> Option<String> {
    let alert = incident.spec.alert.as_ref()?;
    let id = alert.fingerprint.as_ref().filter(|id| pagerduty::is_id(id))?;
    let seen = &incident.status.as_ref()?.alerts.as_ref()?.seen;
    (alert.source == AlertSource::Pagerduty && seen.contains(&pagerduty::mark(id))).then(|| id.clone())
}

/// Text of a cluster, in one line and without secrets.
fn said(text: &str) -> String {
    clip(&clean(&redact(text).text), SENTENCE)
}

/// A command, without secrets. Each word is looked at by itself: a JSON patch is read as JSON.
fn command(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|word| clean(&redact(word).text)).collect();
    clip(&shell_line(&words), COMMAND)
}
