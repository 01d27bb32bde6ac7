//! One action of a plan, in the form that a person approves: typed, bounded, with its exact command and its inverse.
//!
//! The typed meaning (what each parameter is for which type) lives in `remediation::action`; this is only the shape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter, EnumString};

use super::common::Risk;

/// The catalogue: nothing outside it is ever executed.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    AsRefStr,
    Display,
    EnumIter,
    EnumString,
)]
pub enum ActionType {
    /// Back to an earlier revision of a workload (`to`: its number).
    RollbackRollout,
    /// Restart all pods of a workload. Has no inverse.
    RestartRollout,
    /// Change `spec.replicas`.
    Scale,
    /// Change a container's image.
    SetImage,
    /// Change one of a container's requests or limits.
    SetResources,
    /// Change, add or remove one environment variable of a container.
    SetEnv,
    /// Let a pod template read another ConfigMap, or another key of it.
    SetConfigMapRef,
    /// Change, add or remove one key of a ConfigMap.
    PatchConfigMapKey,
    /// Change a Service's selector or port.
    PatchService,
    /// Change a field of a probe.
    PatchProbe,
    /// Change a HorizontalPodAutoscaler's bounds, or what it scales.
    PatchHpa,
    /// Change a PodDisruptionBudget.
    PatchPdb,
    /// Change a ResourceQuota.
    PatchQuota,
    /// Suspend a CronJob.
    SuspendCronJob,
    /// Resume a CronJob.
    ResumeCronJob,
    /// Keep new pods from a node.
    CordonNode,
    /// Admit pods to a node again.
    UncordonNode,
}

/// One action: what it changes, from what to what, with which command, at which risk, and how it is taken back.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedAction {
    /// `A1`, `A2`, … in the order of execution.
    #[schemars(length(min = 1, max = 16))]
    pub id: String,
    /// Which action of the catalogue.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// The one object that it changes.
    pub target: ActionTarget,
    /// What it changes there, from what and to what.
    pub parameters: ActionParameters,
    /// The exact command, as argv. Recomputed from the fields above before it is run; a difference is refused.
    #[schemars(length(max = 32), inner(length(max = 8192)))]
    pub command: Vec<String>,
    /// What may go wrong.
    pub risk: Risk,
    /// What the action does to those who use the object.
    #[schemars(length(max = 1024))]
    pub impact: String,
    /// The exact inverse, as argv. Empty: there is none.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(max = 8192)))]
    pub rollback: Vec<String>,
    /// What a person should see before approving: for a rollback, the difference of the pod templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub diff: Option<String>,
    /// Ids of the evidence from which `from` and `to` were read.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(max = 16)))]
    pub evidence: Vec<String>,
}

/// The object that an action changes, pinned by uid: a re-made object is another object.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionTarget {
    /// API version, as in `apps/v1`.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// Kind, as in `Deployment`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Namespace; absent for nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// uid as observed. An object of another uid is refused.
    #[schemars(length(min = 1, max = 36))]
    pub uid: String,
}

/// What an action changes. Which fields an action type uses, and how it reads them, stands in `docs` of its type.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionParameters {
    /// Name of the container, where the action is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub container: Option<String>,
    /// Index of that container in the pod template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub container_index: Option<i32>,
    /// True where it is one of the init containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_container: Option<bool>,
    /// The field, key or variable that changes: `DATABASE_URL`, `limits.memory`, `selector.version`, `livenessProbe.httpGet.port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub field: Option<String>,
    /// Index of the field, where it lives in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub field_index: Option<i32>,
    /// The observed value. Absent: the field was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub from: Option<String>,
    /// The value afterwards. Absent: the field is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub to: Option<String>,
    /// True where the map or list that holds the field was not there either, and is made with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_absent: Option<bool>,
    /// `metadata.generation` as observed, where an old value alone cannot pin the change: adding to a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub generation: Option<i64>,
}
