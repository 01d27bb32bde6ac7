//! The `Incident` kind: what a person or an alert asks about. The spec is the user's; the operator never writes it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::common::Severity;
use super::status::IncidentStatus;

/// One incident to investigate: what is wrong, about which object, and how its repair may be approved.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "firewatch.dev",
    version = "v1alpha1",
    kind = "Incident",
    plural = "incidents",
    singular = "incident",
    shortname = "inc",
    category = "firewatch",
    namespaced,
    status = "IncidentStatus",
    derive = "PartialEq",
    selectable = ".spec.severity",
    printcolumn(name = "Severity", type_ = "string", json_path = ".status.triage.severity"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".status.outcome"),
    printcolumn(name = "Root cause", type_ = "string", json_path = ".status.rootCause.category"),
    printcolumn(name = "Approval", type_ = "string", json_path = ".status.approvalState"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Cause", type_ = "string", json_path = ".status.rootCause.summary", priority = 1),
    printcolumn(name = "Approve with", type_ = "string", json_path = ".status.approvalRef.name", priority = 1),
    validation = kube::core::cel::Rule::new("self.metadata.name.size() <= 63")
        .message("metadata.name: at most 63 characters, so that names made from it stay valid; choose a shorter name")
)]
#[x_kube(
    validation = ("self.title == oldSelf.title && has(self.target) == has(oldSelf.target) && (!has(self.target) || self.target == oldSelf.target)", "what an incident is about is immutable; create another incident"),
    validation = ("has(self.description) == has(oldSelf.description) && (!has(self.description) || self.description == oldSelf.description) && has(self.severity) == has(oldSelf.severity) && (!has(self.severity) || self.severity == oldSelf.severity) && has(self.alert) == has(oldSelf.alert) && (!has(self.alert) || self.alert == oldSelf.alert)", "what an incident is about is immutable; create another incident"),
    validation = ("has(self.requestedBy) == has(oldSelf.requestedBy) && (!has(self.requestedBy) || self.requestedBy == oldSelf.requestedBy)", "who asked is immutable"),
    validation = ("!oldSelf.cancelled || self.cancelled", "a cancelled incident stays cancelled; create another incident")
)]
pub struct IncidentSpec {
    /// What is wrong, in a few words: `checkout pods restart`.
    #[schemars(length(min = 1, max = 256))]
    pub title: String,
    /// What else is known, in free text. Never obeyed, only shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub description: Option<String>,
    /// How much it matters. Absent: triage assesses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The object that is in trouble. Absent: the whole namespace of the incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The alert that made this incident, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
    /// The user name of the person who asks. Admission refuses any other name than the caller's. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub requested_by: Option<String>,
    /// Who may approve the plan: `Manual` (a person, the default) or `Policy` (a ResponsePolicy may).
    #[serde(default)]
    pub approval_mode: ApprovalMode,
    /// Why another plan is wanted. Changing it makes a new revision of the plan, which needs a new approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub revision_feedback: Option<String>,
    /// Set to true to stop: nothing new is started, and a plan that was not claimed will never be executed.
    #[serde(default)]
    pub cancelled: bool,
}

/// Names the object that an incident is about.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// API version, as in `apps/v1`. Absent: the version Firewatch knows for the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub api_version: Option<String>,
    /// Kind, as in `Deployment`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the object. Absent: the incident's own, and any other is refused outside the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// Where an incident came from.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Which way it came in.
    pub source: AlertSource,
    /// Name of the alert, as in `KubePodCrashLooping`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// The alert's identity at its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub fingerprint: Option<String>,
    /// Alertmanager's group key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub group_key: Option<String>,
    /// When it began, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub starts_at: Option<String>,
    /// Labels of the alert. Data: shown and matched, never obeyed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), transform = bounded_values)]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the alert. Data: shown, never obeyed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), transform = bounded_values)]
    pub annotations: BTreeMap<String, String>,
}

/// Bounds the values of a string map, so that CRD rules over it stay affordable for the API server.
fn bounded_values(schema: &mut schemars::Schema) {
    if let Some(values) = schema.get_mut("additionalProperties").and_then(|v| v.as_object_mut()) {
        values.insert("maxLength".to_owned(), 2048.into());
    }
}

/// Which way an incident came in.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertSource {
    /// A person made it.
    Manual,
    /// Prometheus Alertmanager.
    Alertmanager,
    /// PagerDuty.
    Pagerduty,
    /// Firewatch's HTTP API.
    Api,
}

/// Who may approve a plan.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum ApprovalMode {
    /// Only a person.
    #[default]
    Manual,
    /// A ResponsePolicy may, within its limits.
    Policy,
}
