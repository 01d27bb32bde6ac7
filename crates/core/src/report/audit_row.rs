//! The one row per investigation that people query: what kind of alert, which service, what it cost, how it ended. Pure.
//!
//! Everything in it follows from the Incident by `AuditRow::of`; messages, commands and results are joined to it by the store from their
//! own rows. Made by the operator's relay.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::api::incident::{AlertSource, IncidentSpec};
use crate::api::status::{ExecutionState, IncidentStatus, Outcome, Phase, PlanStatus};
use crate::api::{Incident, Severity};

/// One investigation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRow {
    /// uid of the incident, a UUID: the investigation's id.
    pub id: String,
    /// Name of the incident.
    pub name: String,
    /// Namespace of the incident.
    pub namespace: String,
    /// When the incident was made.
    pub created_at: Timestamp,
    /// Name of the alert; where there is none, where the incident came from.
    pub alert_type: String,
    /// What is in trouble: the target's name; without a target the alert's service, else the namespace.
    pub service: String,
    /// As triage assessed it; until then as it was asked for.
    pub severity: Option<Severity>,
    /// Where the incident stands.
    pub phase: Phase,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The root cause, in one sentence.
    pub root_cause: Option<String>,
    /// Its category.
    pub root_cause_category: Option<String>,
    /// The plan.
    pub proposed_remediation: Option<PlanStatus>,
    /// The Commander's verdict on it.
    pub commander_verdict: Option<String>,
    /// And why.
    pub commander_reason: Option<String>,
    /// A state of the execution, or `NotExecuted`.
    pub execution_status: String,
    /// Tokens of all models.
    pub total_tokens: i64,
    /// US dollars, six decimals.
    pub cost_usd: String,
    /// From begin to end, in milliseconds; absent until it is over.
    pub duration_ms: Option<i64>,
    /// Whether the trouble is gone.
    pub resolved: bool,
    /// Whether a person must go on (a decision about a plan alone is not that).
    pub human_intervention: bool,
    /// Number of the last transition when this row was made.
    pub sequence: i64,
    /// Hash of that transition: a chain whose end is missing shows against it.
    pub last_hash: Option<String>,
    /// The incident itself, without what has a place of its own in this row.
    pub record: IncidentRecord,
}

/// What an incident says, as it was when it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentRecord {
    /// What was asked.
    pub spec: IncidentSpec,
    /// What was found and done, without plan, outbox and Jobs.
    pub status: IncidentStatus,
}

impl AuditRow {
    /// Of this incident, as it stands.
    pub fn of(incident: &Incident) -> Self {
        let spec = &incident.spec;
        let mut status = incident.status.clone().unwrap_or_default();
        let created = incident.creation_timestamp().map(|t| t.0).unwrap_or_default();
        // Kept elsewhere, or of no meaning once it is stored.
        let plan = status.plan.take();
        status.outbox.clear();
        status.jobs.clear();
        status.conditions.clear();
        for evidence in &mut status.evidence {
            evidence.config_map = None;
        }
        let usage = status.usage.clone().unwrap_or_default();
        Self {
            id: incident.uid().unwrap_or_default(),
            name: incident.name_any(),
            namespace: incident.namespace().unwrap_or_default(),
            created_at: created,
            alert_type: alert_type(spec),
            service: service(incident),
            severity: status.triage.as_ref().map(|t| t.severity).or(spec.severity),
            phase: status.phase,
            outcome: status.outcome,
            root_cause: status.root_cause.as_ref().map(|c| c.summary.clone()),
            root_cause_category: status.root_cause.as_ref().map(|c| c.category.clone()),
            proposed_remediation: plan,
            commander_verdict: status.review.as_ref().map(|r| r.verdict.as_ref().to_owned()),
            commander_reason: status.review.as_ref().map(|r| r.reasons.join("; ")),
            execution_status: status
                .execution
                .as_ref()
                .map_or_else(|| "NotExecuted".to_owned(), |e| e.state.to_string()),
            total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
            cost_usd: if usage.cost_usd.is_empty() {
                "0.000000".to_owned()
            } else {
                usage.cost_usd
            },
            duration_ms: duration_ms(&status),
            resolved: is_resolved(&status),
            human_intervention: needs_person(&status),
            sequence: status.sequence,
            last_hash: status.last_hash.clone(),
            record: IncidentRecord {
                spec: spec.clone(),
                status,
            },
        }
    }

    /// The incident as this row tells it.
    pub fn incident(&self) -> Incident {
        let mut incident = Incident::new(&self.name, self.record.spec.clone());
        incident.metadata.namespace = Some(self.namespace.clone());
        incident.metadata.uid = Some(self.id.clone());
        incident.metadata.creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.created_at));
        let mut status = self.record.status.clone();
        status.plan.clone_from(&self.proposed_remediation);
        status.phase = self.phase;
        status.outcome = self.outcome;
        incident.status = Some(status);
        incident
    }
}

fn alert_type(spec: &IncidentSpec) -> String {
    let source = |source| match source {
        AlertSource::Manual => "manual",
        AlertSource::Alertmanager => "alertmanager",
        AlertSource::Pagerduty => "pagerduty",
        AlertSource::Api => "api",
    };
    match &spec.alert {
        Some(alert) => alert.name.clone().unwrap_or_else(|| source(alert.source).to_owned()),
        None => "manual".to_owned(),
    }
}

/// What an incident is about, in one word for people's queries.
pub fn service(incident: &Incident) -> String {
    let spec = &incident.spec;
    let label = |key: &str| spec.alert.as_ref().and_then(|a| a.labels.get(key).cloned());
    spec.target
        .as_ref()
        .map(|t| t.name.clone())
        .or_else(|| label("service"))
        .or_else(|| label("app"))
        .or_else(|| incident.namespace())
        .unwrap_or_default()
}

/// From begin to end in milliseconds; absent until the incident is over.
pub fn duration_ms(status: &IncidentStatus) -> Option<i64> {
    let (began, ended) = (status.started_at.as_ref()?, status.completed_at.as_ref()?);
    i64::try_from(ended.0.duration_since(began.0).as_millis()).ok()
}

/// Whether the trouble is gone, as far as evidence showed.
pub fn is_resolved(status: &IncidentStatus) -> bool {
    matches!(status.outcome, Some(Outcome::Remediated | Outcome::NoActionRequired))
}

/// Whether a person must go on.
pub fn needs_person(status: &IncidentStatus) -> bool {
    let unknown = status
        .execution
        .as_ref()
        .is_some_and(|e| e.state == ExecutionState::Unknown);
    unknown
        || matches!(
            status.outcome,
            Some(
                Outcome::Rejected
                    | Outcome::Expired
                    | Outcome::RolledBack
                    | Outcome::RemediationFailed
                    | Outcome::Escalated
                    | Outcome::Inconclusive
            )
        )
}
