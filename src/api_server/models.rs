//! What goes over the wire: bodies of requests and of answers, and what the OpenAPI document says of them. The one place for names that
//! callers rely on. Used by the handlers.

use std::collections::BTreeMap;

use firewatch_core::api::{ApprovalMode, Decision, Incident, Phase, Severity};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator;
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

/// What is reported: a target, an alert, both, or neither (then the whole namespace).
#[derive(Deserialize, ToSchema, Debug, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentRequest {
    /// Where the incident is made. You need the right to create incidents there.
    #[schema(max_length = 63, pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", example = "shop")]
    pub namespace: String,
    /// What is wrong, in a few words.
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "checkout pods restart"
    )]
    pub title: String,
    /// What else is known. Shown, never obeyed.
    #[schema(max_length = 8192, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
    pub description: Option<String>,
    /// How much it matters. Absent: triage assesses it.
    pub severity: Option<SeverityName>,
    /// The object that is in trouble.
    pub target: Option<TargetRequest>,
    /// The alert that tells of it.
    pub alert: Option<AlertRequest>,
    /// Who may approve the plan; `Manual` where it is absent.
    pub approval_mode: Option<ApprovalModeName>,
}

/// Names an object.
#[derive(Deserialize, ToSchema, Debug, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetRequest {
    /// As in `apps/v1`. Absent: the version that Firewatch knows for the kind.
    #[schema(
        max_length = 231,
        pattern = "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*/)?v[a-z0-9]{1,29}$",
        example = "apps/v1"
    )]
    pub api_version: Option<String>,
    /// As in `Deployment`.
    #[schema(max_length = 63, pattern = "^[A-Z][A-Za-z0-9]{0,62}$", example = "Deployment")]
    pub kind: String,
    /// Its name.
    #[schema(
        max_length = 253,
        pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
        example = "checkout"
    )]
    pub name: String,
    /// Its namespace, where that is not the incident's: only incidents in Firewatch's own namespace may name another.
    #[schema(max_length = 63, pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    pub namespace: Option<String>,
}

/// An alert. Its labels say what to look at, never where.
#[derive(Deserialize, ToSchema, Debug, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertRequest {
    /// As in `KubePodCrashLooping`.
    #[schema(max_length = 253, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    pub name: Option<String>,
    /// Its identity at its source.
    #[schema(max_length = 128, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    pub fingerprint: Option<String>,
    /// When it began.
    #[schema(value_type = Option<String>, format = DateTime, max_length = 40)]
    pub starts_at: Option<String>,
    /// Labels.
    #[serde(default)]
    #[schema(schema_with = texts)]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default)]
    #[schema(schema_with = texts)]
    pub annotations: BTreeMap<String, String>,
}

/// How many labels, how long their names and values: as an Incident holds them.
pub const MAX_LABELS: usize = 64;
/// The longest name.
pub const MAX_LABEL: usize = 256;
/// The longest value.
pub const MAX_VALUE: usize = 2048;

fn texts() -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .max_properties(Some(MAX_LABELS))
        .property_names(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .max_length(Some(MAX_LABEL)),
        ))
        .additional_properties(Some(AdditionalProperties::RefOr(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .max_length(Some(MAX_VALUE))
                .into(),
        )))
        .into()
}

/// How much it matters.
#[derive(Serialize, Deserialize, ToSchema, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum SeverityName {
    /// No user is affected.
    Low,
    /// Some are, or soon will be.
    Medium,
    /// A service is degraded.
    High,
    /// A service is down.
    Critical,
}

impl From<SeverityName> for Severity {
    fn from(name: SeverityName) -> Self {
        match name {
            SeverityName::Low => Self::Low,
            SeverityName::Medium => Self::Medium,
            SeverityName::High => Self::High,
            SeverityName::Critical => Self::Critical,
        }
    }
}

/// Who may approve a plan.
#[derive(Serialize, Deserialize, ToSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalModeName {
    /// Only a person.
    Manual,
    /// A ResponsePolicy may, within its limits.
    Policy,
}

impl From<ApprovalModeName> for ApprovalMode {
    fn from(name: ApprovalModeName) -> Self {
        match name {
            ApprovalModeName::Manual => Self::Manual,
            ApprovalModeName::Policy => Self::Policy,
        }
    }
}

/// A scenario's workload is reported.
#[derive(Deserialize, ToSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// Where the scenario's workload runs.
    #[schema(max_length = 63, pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", example = "shop")]
    pub namespace: String,
    /// Which scenario.
    #[schema(max_length = 63, pattern = "^[a-z][a-z0-9_]{0,62}$", example = "crashloop")]
    pub scenario: String,
    /// Let a ResponsePolicy approve the plan, where one would.
    pub auto_approve: Option<bool>,
}

/// The incident that a report made, or that was there already.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether this request made it; otherwise the same was reported before and is not over.
    pub created: bool,
    /// What could not be made of the report, and the remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What became of `auto_approve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_approve: Option<AutoApproveAnswer>,
}

/// Whether a ResponsePolicy may approve the plan.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct AutoApproveAnswer {
    /// Whether `auto_approve` was honoured.
    pub honoured: bool,
    /// Why, or why not.
    pub why: String,
}

/// Filters of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // Read by the OpenAPI document; the query itself is read in `read`.
pub struct ListQuery {
    /// Only of this namespace. Absent: of all, for which you need the right to list them all.
    #[param(required = false, max_length = 63, pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    pub namespace: String,
    /// Only those in this phase.
    #[param(required = false, schema_with = phases)]
    pub phase: String,
    /// Only those of this severity: as triage assessed it, else as it was reported.
    #[param(required = false, schema_with = severities)]
    pub severity: String,
    /// At most so many (50).
    #[param(required = false, minimum = 1, maximum = 100)]
    pub limit: u32,
    /// Where the list before this one ended: its `continue`.
    #[param(required = false, max_length = 4096)]
    pub r#continue: String,
}

/// The phases, as a closed set of words.
pub fn phases() -> Object {
    words(Phase::iter().map(|phase| phase.to_string()))
}

fn severities() -> Object {
    words(Severity::iter().map(|severity| severity.to_string()))
}

fn words(all: impl Iterator<Item = String>) -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(all.collect::<Vec<_>>()))
        .build()
}

/// A part of a list.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct IncidentList {
    /// The incidents.
    pub items: Vec<IncidentView>,
    /// Give this as `continue` to read on; absent at the end.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One incident, in short.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct IncidentView {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// uid.
    pub uid: String,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
    /// What is wrong.
    pub title: String,
    /// As triage assessed it, else as it was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// What it is about, as `Kind/name`; absent: the whole namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Where it stands.
    #[schema(schema_with = phases)]
    pub phase: String,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why it ended so, or what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How often it was reported.
    pub occurrences: i64,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// The cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<CauseView>,
    /// The plan, where one is proposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanView>,
}

/// A cause, in short.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct CauseView {
    /// What kind of trouble.
    pub category: String,
    /// The cause.
    pub summary: String,
    /// Where, as `Kind/name`.
    pub object: String,
    /// From "0.00" to "1.00", computed.
    pub confidence: String,
}

/// A plan, in short. Its commands are in the document.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// What it is known by: a decision names it.
    pub digest: String,
    /// Which revision.
    pub revision: i64,
    /// In one line.
    pub summary: String,
    /// The highest of its actions.
    pub risk: String,
    /// After this time it can no longer be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Where its approval stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
}

impl IncidentView {
    /// Of an incident.
    pub fn of(incident: &Incident) -> Self {
        let status = incident.status.as_ref();
        Self {
            namespace: incident.namespace().unwrap_or_default(),
            name: incident.name_any(),
            uid: incident.uid().unwrap_or_default(),
            created_at: incident.creation_timestamp().map(|at| at.0),
            title: incident.spec.title.clone(),
            severity: severity(incident).map(|severity| severity.to_string()),
            target: incident.spec.target.as_ref().map(|t| format!("{}/{}", t.kind, t.name)),
            phase: status.map(|status| status.phase).unwrap_or_default().to_string(),
            outcome: status
                .and_then(|status| status.outcome)
                .map(|outcome| outcome.to_string()),
            message: status.and_then(|status| status.message.clone()),
            occurrences: status.map_or(0, |status| status.occurrences),
            requested_by: incident.spec.requested_by.clone(),
            root_cause: status
                .and_then(|status| status.root_cause.as_ref())
                .map(|cause| CauseView {
                    category: cause.category.clone(),
                    summary: cause.summary.clone(),
                    object: cause.object.to_string(),
                    confidence: cause.confidence.clone(),
                }),
            plan: status.and_then(|status| {
                let plan = status.plan.as_ref()?;
                Some(PlanView {
                    digest: plan.digest.clone(),
                    revision: plan.revision,
                    summary: plan.summary.clone(),
                    risk: plan.risk.to_string(),
                    expires_at: plan.expires_at.as_ref().map(|at| at.0),
                    approval: status.approval_state.map(|state| state.to_string()),
                })
            }),
        }
    }
}

/// As triage assessed it, else as it was reported.
pub fn severity(incident: &Incident) -> Option<Severity> {
    let assessed = incident.status.as_ref().and_then(|status| status.triage.as_ref());
    assessed.map(|triage| triage.severity).or(incident.spec.severity)
}

/// One event of a stream of transitions.
#[derive(ToSchema, Debug)]
#[allow(dead_code)] // `transitions` sends it; this describes it.
pub struct StreamEvent {
    /// `state`, `transition`, and at last `end`, `gone` or `again`.
    #[schema(schema_with = stream_events)]
    pub event: String,
    /// The sequence that it tells of.
    #[schema(required = false, nullable = false)]
    pub id: Option<String>,
    /// JSON.
    pub data: String,
}

fn stream_events() -> Object {
    words(
        ["state", "transition", "end", "gone", "again"]
            .map(str::to_owned)
            .into_iter(),
    )
}

/// A decision about exactly one plan.
#[derive(Deserialize, ToSchema, Debug, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecisionRequest {
    /// Carry it out, or not.
    pub decision: DecisionName,
    /// The plan that you read: `plan.digest` of the incident.
    #[schema(max_length = 71, pattern = "^sha256:[0-9a-f]{64}$")]
    pub plan_digest: String,
    /// Why.
    #[schema(max_length = 2048, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
    pub reason: Option<String>,
}

/// What can be decided.
#[derive(Serialize, Deserialize, ToSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionName {
    /// Carry it out.
    Approved,
    /// Do not.
    Rejected,
}

impl From<DecisionName> for Decision {
    fn from(name: DecisionName) -> Self {
        match name {
            DecisionName::Approved => Self::Approved,
            DecisionName::Rejected => Self::Rejected,
        }
    }
}

/// A decision that was written.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// The RemediationApproval.
    pub approval: String,
    /// The plan.
    pub plan_digest: String,
    /// What was decided.
    pub decision: DecisionName,
    /// By whom: the user as which the API server knows your token.
    pub by: String,
    /// Whether a second person must approve too.
    pub waits_for_second: bool,
}

/// A problem document (RFC 9457).
#[derive(ToSchema, Debug)]
#[allow(dead_code)] // `problem` writes it; this describes it.
pub struct ProblemDocument {
    /// `urn:firewatch:problem:` and the title.
    pub r#type: String,
    /// A closed word.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and the remedy.
    pub detail: String,
    /// Which field of the request.
    #[schema(required = false, nullable = false)]
    pub field: Option<String>,
}

/// The full response document, as `kubectl incident report -o json` prints it. Its sections stand in docs/audit.md.
#[derive(ToSchema, Debug)]
#[allow(dead_code)] // The core's `ResponseDocument` is what is sent; this describes it.
pub struct ResponseDocumentView {
    /// uid of the incident.
    pub investigation_id: String,
    /// What was reported.
    #[schema(value_type = Object)]
    pub alert: serde_json::Value,
    /// What was found, proposed, decided and done.
    #[schema(value_type = Object)]
    pub workflow: serde_json::Value,
    /// What it cost.
    #[schema(value_type = Object)]
    pub metrics: serde_json::Value,
    /// What it rests on.
    #[schema(value_type = Object)]
    pub audit: serde_json::Value,
    /// How it ended.
    #[schema(value_type = Object)]
    pub outcome: serde_json::Value,
}
