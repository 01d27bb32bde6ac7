//! What would put a finding right, as facts for the planner: exact `from` and `to` only where evidence fixes the value, else
//! `None` and what a person must supply. Must never hold a guessed value, or one that looks like a credential.
//! Made by `analyzers`; read by the Remediation Planner, which alone turns it into actions.

use serde::{Deserialize, Serialize};

use super::environment::Variable;
use crate::api::ObjectName;

/// A value that evidence shows, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownValue {
    /// The value.
    pub value: String,
    /// Where it was read, for people: `ConfigMap/refunds-settings`.
    pub source: String,
    /// The evidence that holds it.
    pub evidence: Vec<String>,
}

/// One container of a workload's pod template (or of a bare pod).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRef {
    /// Deployment, StatefulSet, DaemonSet, Job, CronJob, or the pod itself.
    pub workload: ObjectName,
    /// Name of the container.
    pub container: String,
}

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::AsRefStr, strum::Display)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Probe {
    /// `readinessProbe`
    ReadinessProbe,
    /// `livenessProbe`
    LivenessProbe,
    /// `startupProbe`
    StartupProbe,
}

/// What would put a finding right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Remedy {
    /// A ConfigMap lacks a key that its consumer reads.
    MissingConfigMapKey {
        /// The ConfigMap.
        config_map: ObjectName,
        /// The key.
        key: String,
        /// Its value, where evidence has it.
        value: Option<KnownValue>,
        /// Who reads it; its pods must start anew to see it.
        consumer: ContainerRef,
    },
    /// A ConfigMap's key holds a wrong value.
    WrongConfigMapValue {
        /// The ConfigMap.
        config_map: ObjectName,
        /// The key.
        key: String,
        /// The value now.
        from: String,
        /// The right value, where evidence has it.
        to: Option<KnownValue>,
        /// Who reads it.
        consumer: ContainerRef,
    },
    /// A container lacks an environment variable, or has it with a wrong value.
    Env {
        /// Which container.
        container: ContainerRef,
        /// The variable.
        name: String,
        /// Its value now; absent: it is not set.
        from: Option<String>,
        /// Its right value, where evidence has it.
        to: Option<KnownValue>,
    },
    /// The present revision is bad, and an earlier one was not.
    BadRevision {
        /// The workload.
        workload: ObjectName,
        /// The revision now.
        from_revision: i64,
        /// The revision to go back to.
        to_revision: i64,
        /// The difference of the pod templates, one line each.
        diff: String,
    },
    /// More replicas would carry the load.
    ScaleOut {
        /// The workload.
        workload: ObjectName,
        /// Replicas now.
        from: i32,
        /// Replicas then.
        to: i32,
        /// The container at its limit.
        container: String,
        /// Its CPU limit.
        cpu_limit: Option<String>,
        /// Its CPU request, without which an HPA cannot work.
        cpu_request: Option<String>,
    },
    /// A HorizontalPodAutoscaler stands at its maximum.
    HpaMaximum {
        /// The autoscaler.
        hpa: ObjectName,
        /// `maxReplicas` now.
        from: i32,
        /// `maxReplicas` then.
        to: i32,
    },
    /// A workload has no replicas, or one too few, and something needs it.
    ScaleUp {
        /// The workload.
        workload: ObjectName,
        /// Replicas now.
        from: i32,
        /// Replicas then; 1 where nothing tells how many there were.
        to: i32,
    },
    /// A Service selects nothing, because one label differs.
    ServiceSelector {
        /// The Service.
        service: ObjectName,
        /// The label.
        key: String,
        /// Its value in the selector.
        from: String,
        /// Its value on the pods that the Service should select.
        to: Option<String>,
    },
    /// A Service's `targetPort` is not a port of its pods.
    ServicePort {
        /// The Service.
        service: ObjectName,
        /// Index in `spec.ports`.
        index: usize,
        /// `targetPort` now.
        from: String,
        /// The right `targetPort`.
        to: Option<String>,
    },
    /// A probe asks the wrong port.
    ProbePort {
        /// Which container.
        container: ContainerRef,
        /// Which probe.
        probe: Probe,
        /// The handler: `httpGet`, `tcpSocket` or `grpc`.
        handler: String,
        /// Its port now.
        from: String,
        /// The port that the container listens on, where evidence has it.
        to: Option<String>,
    },
    /// A field of a probe other than its port does not fit: `httpGet.path`, `initialDelaySeconds`, `timeoutSeconds`,
    /// `periodSeconds`, `failureThreshold`.
    ProbeField {
        /// Which container.
        container: ContainerRef,
        /// Which probe.
        probe: Probe,
        /// The field, from the probe on.
        field: String,
        /// Its value now; `0` where `initialDelaySeconds` is not set.
        from: String,
        /// The right value, where evidence has it.
        to: Option<KnownValue>,
    },
    /// A pod template refers to a ConfigMap, or to a key of one, that does not exist.
    ConfigMapReference {
        /// The workload.
        workload: ObjectName,
        /// The ConfigMap that it names.
        config_map: String,
        /// The key that it names, where the ConfigMap exists.
        key: Option<String>,
        /// What it must mean instead: the key's right name, or the ConfigMap's.
        to: Option<KnownValue>,
    },
    /// A HorizontalPodAutoscaler names a workload that does not exist.
    HpaTarget {
        /// The autoscaler.
        hpa: ObjectName,
        /// `KIND/NAME` that it names.
        from: String,
        /// `KIND/NAME` of the workload that it must mean.
        to: Option<String>,
    },
    /// A container's limit or request does not fit.
    Resources {
        /// Which container.
        container: ContainerRef,
        /// `limits.memory`, `limits.cpu`, `requests.memory`, `requests.cpu`.
        field: String,
        /// The value now.
        from: Option<String>,
        /// A value that fits, where evidence fixes it.
        to: Option<String>,
    },
    /// An image cannot be pulled.
    Image {
        /// Which container.
        container: ContainerRef,
        /// The image now.
        from: String,
        /// The right image, where evidence has it.
        to: Option<KnownValue>,
    },
    /// A ResourceQuota is used up.
    Quota {
        /// The quota.
        quota: ObjectName,
        /// Which resource: `requests.cpu`.
        resource: String,
        /// `spec.hard` now.
        from: String,
        /// What the workload needs in all.
        to: Option<String>,
    },
    /// A PodDisruptionBudget lets nothing go.
    DisruptionBudget {
        /// The budget.
        budget: ObjectName,
        /// `minAvailable` or `maxUnavailable`.
        field: String,
        /// Its value now.
        from: String,
        /// A value that lets one pod go.
        to: Option<String>,
    },
    /// A CronJob is suspended.
    ResumeCronJob {
        /// The CronJob.
        cron_job: ObjectName,
    },
    /// A CronJob does harm while it runs.
    SuspendCronJob {
        /// The CronJob.
        cron_job: ObjectName,
    },
    /// A node takes no pods.
    UncordonNode {
        /// The node.
        node: ObjectName,
    },
    /// A node on which pods fail should get no new ones, until a person has looked at it.
    CordonNode {
        /// The node.
        node: ObjectName,
        /// What is wrong with it.
        reason: String,
    },
    /// New pods would pick up what has changed.
    Restart {
        /// The workload.
        workload: ObjectName,
        /// Why that helps.
        reason: String,
    },
    /// It helps for a while, and the trouble comes back: a restart, or more memory, against a leak. Always labelled as relief.
    Relief {
        /// What helps for a while.
        remedy: Box<Remedy>,
        /// What comes back, and what would repair it.
        reason: String,
    },
    /// Several ways, the safest first: a way back to what worked before a value that is only likely.
    FirstOf {
        /// The ways.
        remedies: Vec<Remedy>,
    },
    /// Nothing that Firewatch may do, but what a person must apply can be written down: rights, network policies.
    Manifest {
        /// What is missing and why, in one or two sentences.
        instruction: String,
        /// YAML.
        manifest: String,
    },
    /// Nothing that Firewatch may do: what a person must do or supply, and why.
    Manual {
        /// In one or two sentences.
        instruction: String,
    },
}

impl Remedy {
    /// Every single way, the safest first.
    pub fn ways(&self) -> Vec<&Self> {
        match self {
            Self::FirstOf { remedies } => remedies.iter().flat_map(Self::ways).collect(),
            one => vec![one],
        }
    }

    /// A variable of a container has a wrong value: where it comes from a ConfigMap it is put right there, else in the pod template.
    pub fn wrong_value(at: ContainerRef, name: &str, variable: &Variable, to: Option<KnownValue>) -> Self {
        let from = variable.value.clone().unwrap_or_default();
        match &variable.from {
            Some((map, key)) => Self::WrongConfigMapValue {
                config_map: map.clone(),
                key: key.clone(),
                from,
                to,
                consumer: at,
            },
            None => Self::Env {
                container: at,
                name: name.to_owned(),
                from: Some(from),
                to,
            },
        }
    }

    /// This one, and where it does not do, the other.
    #[must_use]
    pub fn or(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        let ways = |remedy| match remedy {
            Self::FirstOf { remedies } => remedies,
            one => vec![one],
        };
        Self::FirstOf {
            remedies: ways(self).into_iter().chain(ways(other)).collect(),
        }
    }
}
