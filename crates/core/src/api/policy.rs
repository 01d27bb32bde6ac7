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
    /// How long a target rests after a repair, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub cooldown: Option<i64>,
    /// How many incidents are investigated at once.
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
    /// How many in any hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_per_hour: Option<i32>,
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
    /// Conditions, keyed by type. `Supported=False` names the fields that this version does not act on yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The generation that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
