//! The closed set of commands that agents may ask for. A command is a typed value; argv is rendered from it, and no shell ever
//! reads it. Built by agents, checked by `policy` on both sides, run by the runner.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter, EnumString};

use crate::metrics::Metric;

/// Kinds that may be read in the observe lane: an explicit list, never `*`; no Secrets.
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
    AsRefStr,
    Display,
    EnumIter,
    EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[allow(missing_docs, reason = "each variant is the kind of that name")]
pub enum Resource {
    Pods,
    Deployments,
    ReplicaSets,
    StatefulSets,
    DaemonSets,
    ControllerRevisions,
    Jobs,
    CronJobs,
    Services,
    EndpointSlices,
    Ingresses,
    NetworkPolicies,
    ConfigMaps,
    PersistentVolumeClaims,
    HorizontalPodAutoscalers,
    PodDisruptionBudgets,
    ResourceQuotas,
    LimitRanges,
    ServiceAccounts,
    Roles,
    RoleBindings,
    Events,
    Namespaces,
    Nodes,
    PersistentVolumes,
    StorageClasses,
    IngressClasses,
    PriorityClasses,
    VerticalPodAutoscalers,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// One namespace.
    Namespace(String),
    /// Cluster-scoped kinds.
    Cluster,
}

/// One command. Serialised as `{"get": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Command {
    /// `kubectl get KINDS -o json`: one call for several kinds.
    Get {
        /// Kinds, in this order.
        resources: Vec<Resource>,
        /// Where.
        scope: Scope,
        /// One object by name; then exactly one kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// `kubectl describe KIND NAME`.
    Describe {
        /// Kind.
        resource: Resource,
        /// Where.
        scope: Scope,
        /// Name.
        name: String,
    },
    /// `kubectl logs POD -c CONTAINER --timestamps --tail=N [--previous]`.
    Logs {
        /// Namespace of the pod.
        namespace: String,
        /// Pod.
        pod: String,
        /// Container.
        container: String,
        /// The container's previous run.
        previous: bool,
        /// Last lines, at most 20000.
        tail_lines: u32,
    },
    /// `kubectl top pods --containers`.
    TopPods {
        /// Namespace.
        namespace: String,
    },
    /// `kubectl top nodes`.
    TopNodes,
    /// `kubectl rollout history KIND/NAME`.
    RolloutHistory {
        /// Deployments, StatefulSets or DaemonSets.
        resource: Resource,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// `kubectl rollout status KIND/NAME --watch=false`.
    RolloutStatus {
        /// Deployments, StatefulSets or DaemonSets.
        resource: Resource,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// `grep -E -n PATTERN /evidence/ID`: analyze lane.
    Grep {
        /// Extended regular expression.
        pattern: String,
        /// Evidence id.
        evidence: String,
    },
    /// One of the image's own scripts, by name, over mounted evidence: analyze lane.
    Script {
        /// Which.
        script: Script,
        /// Evidence ids.
        evidence: Vec<String>,
    },
    /// Measurements of a workload's pods in the last hour, from a Prometheus where one is configured. No pod runs it: whoever holds
    /// the address asks.
    Metrics {
        /// What is measured.
        metric: Metric,
        /// Deployments, StatefulSets, DaemonSets, ReplicaSets or Pods.
        resource: Resource,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
}

/// The image's own scripts (`/usr/local/lib/firewatch/*`).
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
    AsRefStr,
    Display,
    EnumIter,
    EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Script {
    /// Groups log lines by template, with counts (`awk`, `sort`, `uniq`).
    LogTemplates,
    /// Finds stack traces and their innermost application frame (`python3`).
    StackTraces,
}

/// What a sandbox Job may do.
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
    AsRefStr,
    Display,
    EnumIter,
    EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Lane {
    /// Read the cluster.
    Observe,
    /// Work on mounted evidence; no network, no token.
    Analyze,
    /// Carry out an approved plan.
    Remediate,
    /// Carry out an approved plan's inverse.
    Rollback,
    /// Ask a Prometheus: no pod, no Job; the operator itself, with fixed queries alone.
    Metrics,
}

/// The lane that a command belongs to.
impl Command {
    /// The lane in which this command may run.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Get { .. }
            | Self::Describe { .. }
            | Self::Logs { .. }
            | Self::TopPods { .. }
            | Self::TopNodes
            | Self::RolloutHistory { .. }
            | Self::RolloutStatus { .. } => Lane::Observe,
            Self::Grep { .. } | Self::Script { .. } => Lane::Analyze,
            Self::Metrics { .. } => Lane::Metrics,
        }
    }
}
