//! Small vocabulary types that the three kinds share. Called by the other `api` modules and by all that reads them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter, EnumString};

/// How much an incident matters. Ordered: `Low < Medium < High < Critical`.
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
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Severity {
    /// No user is affected.
    Low,
    /// Some are, or soon will be.
    Medium,
    /// A service is degraded.
    High,
    /// A service is down.
    Critical,
}

/// What may go wrong when an action is carried out. Ordered: `Low < Medium < High`. Computed, never claimed.
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
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Risk {
    /// Reversible, one object, no restart of what serves.
    Low,
    /// Reversible, restarts what serves.
    Medium,
    /// Not reversible, or reaches beyond the target.
    High,
}

/// Breadth of an incident's effect, as triage assesses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, AsRefStr, Display)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Impact {
    /// No replica serves.
    Outage,
    /// Some replicas serve, or slowly.
    Degraded,
    /// All replicas serve.
    None,
    /// Not known yet.
    Unknown,
}

/// The four agents. Each is an identity of its own with its own rights (`config/agents/`).
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
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Role {
    /// Classifies, routes, reviews, reports; runs no command.
    Commander,
    /// Looks at pods, resources, changes, events and logs, read-only.
    SreInvestigator,
    /// Looks at error logs, stack traces and differences of code and configuration, read-only.
    CodeAnalyst,
    /// Turns findings into a plan; executes nothing.
    RemediationPlanner,
}

/// Names one object of a cluster. The namespace is absent for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// Kind, as in `Deployment`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Namespace, absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl ObjectName {
    /// A namespaced object.
    pub fn namespaced(kind: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// A cluster-scoped object.
    pub fn cluster(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            namespace: None,
            name: name.into(),
        }
    }
}

impl std::fmt::Display for ObjectName {
    /// `Kind/name`: short enough for a column; the namespace is known from where it is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
