//! The `ResponsePolicy` kind: how far Firewatch may go in which namespaces. Written by administrators only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use super::action::ActionType;
use super::common::{Risk, Role, Severity};

/// How far Firewatch may go in the namespaces that it selects. Where none matches, a safe built-in policy holds.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "firewatch.dev",
    version = "v1alpha1",
    kind = "ResponsePolicy",
    plural = "responsepolicies",
    singular = "responsepolicy",
    shortname = "rpol",
    category = "firewatch",
    status = "ResponsePolicyStatus",
    derive = "PartialEq",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspended"),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct ResponsePolicySpec {
    /// Which namespaces. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Where several select a namespace, the highest priority holds.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: i32,
    /// How far to go: `Observe` (diagnose), `Suggest` (and plan), `Remediate` (and execute what is approved; the default).
    #[serde(default)]
    pub mode: PolicyMode,
    /// The kill switch: nothing that was not yet claimed is executed, however approved.
    #[serde(default)]
    pub suspended: bool,
    /// What this policy may approve by itself, for incidents with `approvalMode: Policy`. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_approve: Option<AutoApprove>,
    /// Which actions may be planned at all. Empty: the whole catalogue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub allowed_actions: Vec<ActionType>,
    /// How long a plan waits for its decision and execution, in seconds (default 900).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86400))]
    pub approval_ttl_seconds: Option<i64>,
    /// How many people must approve (default 1; 2 for plans of high risk).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2))]
    pub required_approvals: Option<i32>,
    /// What models may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Budgets>,
    /// Which agents investigate what. Empty: triage decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub routing: Vec<Route>,
    /// How long a target rests after a repair, in seconds (default 300): no alert makes it be looked at again, and no policy approves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub cooldown: Option<i64>,
    /// How many incidents of one namespace are investigated at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent: Option<i32>,
    /// Whether execution waits until its approval is stored in Postgres (default true).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_audit: Option<bool>,
}

/// How far a policy goes.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema, AsRefStr, Display,
)]
pub enum PolicyMode {
    /// Diagnose only.
    Observe,
    /// Diagnose and plan; nothing is executed.
    Suggest,
    /// Execute what is approved.
    #[default]
    Remediate,
}

/// What a policy may approve by itself.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoApprove {
    /// Up to this risk.
    pub max_risk: Risk,
    /// Only these types of action.
    #[schemars(length(min = 1, max = 32))]
    pub action_types: Vec<ActionType>,
    /// The least confidence in the root cause, a decimal from "0.0" to "1.0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^(0(\.[0-9]+)?|1(\.0+)?)$"))]
    pub min_confidence: Option<String>,
    /// How many in any hour, in one namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_per_hour: Option<i32>,
    /// Also incidents that an alert made, though nobody asked for a policy's approval there.
    #[serde(default)]
    pub alerts: bool,
    /// How large a plan may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Only at these times. Empty: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
    /// Only what was seen to help before: a person approved the same actions on the same objects for the same cause in this namespace,
    /// and fresh evidence showed the cause gone.
    #[serde(default)]
    pub only_verified_before: bool,
}

/// How large a plan may be that a policy approves.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub max_actions: Option<i32>,
    /// To how many replicas a workload may be scaled, or an autoscaler be let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_replicas: Option<i32>,
}

/// A time of the week. Where `to` is not after `from` it reaches into the next day.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// The days on which it begins. Empty: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub days: Vec<Day>,
    /// From this minute on, as in `09:00`.
    #[schemars(length(max = 5), regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// Up to this minute, which no longer belongs to it; `24:00` is the end of the day.
    #[schemars(length(max = 5), regex(pattern = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"))]
    pub to: String,
    /// Whose clock, as in `Europe/Berlin`. Absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

/// A day of the week.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema, AsRefStr, Display)]
#[allow(missing_docs, reason = "the days of the week")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// What models may cost. Decimal numbers are strings.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budgets {
    /// Tokens for one incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub tokens_per_incident: Option<i64>,
    /// US dollars for one incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub cost_usd_per_incident: Option<String>,
    /// US dollars for one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub cost_usd_per_day: Option<String>,
}

/// Which agents look at which incidents.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Incidents of at least this severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
    /// Incidents whose alert has this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub alert_name: Option<String>,
    /// The agents that look at them.
    #[schemars(length(min = 1, max = 4))]
    pub agents: Vec<Role>,
}

/// What the operator says about a policy.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResponsePolicyStatus {
    /// Conditions, keyed by type: `Accepted` (every field can be obeyed) and `Unambiguous` (no other policy of the same priority
    /// claims one of its namespaces).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The generation that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
