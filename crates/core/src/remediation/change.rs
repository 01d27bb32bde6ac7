//! What an action changes, from what to what, and what takes it back: the typed half of the catalogue. Pure data; what a value may
//! hold is checked by `check`. Must never hold a value that its command could not say exactly. Made by `parse` and `remedies`.

use crate::api::ActionType;

/// A container of a pod template: its place, and its name, which the command tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Index in `spec.containers`, or in `spec.initContainers`.
    pub index: i32,
    /// True for one of `spec.initContainers`.
    pub init: bool,
}

/// Where a pod template refers to a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefPlace {
    /// A variable that is one key of it; `from` and `to` are `MAP/KEY`.
    Env {
        /// Which container.
        container: Container,
        /// Index in its `env`.
        index: i32,
        /// The variable.
        name: String,
    },
    /// A whole ConfigMap as environment; `from` and `to` are names.
    EnvFrom {
        /// Which container.
        container: Container,
        /// Index in its `envFrom`.
        index: i32,
    },
    /// A volume; `from` and `to` are names.
    Volume {
        /// Index in `volumes`.
        index: i32,
        /// The volume.
        name: String,
    },
}

/// Where an environment variable stands, or is to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvPlace {
    /// At this index now.
    At(i32),
    /// Behind the present variables, of which there are so many at this `metadata.generation`. A list cannot be tested for the
    /// absence of a name, so the generation is: whatever changed the spec since, the API server refuses.
    Append {
        /// How many there are.
        index: i32,
        /// `metadata.generation` of the target.
        generation: i64,
    },
    /// There is no list yet.
    NewList,
}

/// What changes. Each variant is one type of the catalogue; parameters as in `ActionParameters`:
///
/// | type | field | from, to |
/// |---|---|---|
/// | RollbackRollout | | revision numbers |
/// | RestartRollout | | to: the mark set on the pod template |
/// | Scale | | replicas |
/// | SetImage | container | images |
/// | SetResources | container, `limits.memory` | quantities; no from: was not set |
/// | SetEnv | container, name of the variable | values; no from: was not set |
/// | SetConfigMapRef | container, `env.NAME` or `envFrom`, or `volumes.NAME`, with its index | `MAP/KEY`, or the ConfigMap's name |
/// | PatchConfigMapKey | key | values; no from: was not there; no to: is removed |
/// | PatchService | `selector.KEY`, or `targetPort` with its index | values |
/// | PatchProbe | container, `livenessProbe.httpGet.port` | values; 0 of `initialDelaySeconds` is its absence |
/// | PatchHpa | `minReplicas`, `maxReplicas`; or `scaleTargetRef` | numbers; or `KIND/NAME` |
/// | PatchPdb | `minAvailable`, `maxUnavailable` | numbers or percentages |
/// | PatchQuota | the resource | quantities |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Back to an earlier revision.
    RollbackRollout {
        /// The revision now.
        from_revision: i64,
        /// The revision to go back to.
        to_revision: i64,
    },
    /// New pods, by a mark on the pod template. Setting the same mark twice restarts once.
    RestartRollout {
        /// The mark.
        mark: String,
    },
    /// Replicas.
    Scale {
        /// Now.
        from: i32,
        /// Then.
        to: i32,
    },
    /// A container's image.
    SetImage {
        /// Which container.
        container: Container,
        /// Now.
        from: String,
        /// Then.
        to: String,
    },
    /// A container's request or limit.
    SetResources {
        /// Which container.
        container: Container,
        /// `limits` or `requests`.
        section: Section,
        /// `cpu`, `memory`, `ephemeral-storage`.
        resource: String,
        /// True where the section does not exist yet.
        parent_absent: bool,
        /// Now; none: not set.
        from: Option<String>,
        /// Then; none (only in an inverse): not set.
        to: Option<String>,
    },
    /// A container's environment variable.
    SetEnv {
        /// Which container.
        container: Container,
        /// The variable.
        name: String,
        /// Where it stands.
        place: EnvPlace,
        /// Now; none: not set.
        from: Option<String>,
        /// Then; none (only in an inverse): not set.
        to: Option<String>,
    },
    /// Which ConfigMap, or which key of it, a pod template reads.
    SetConfigMapRef {
        /// Where.
        place: RefPlace,
        /// Now.
        from: String,
        /// Then.
        to: String,
    },
    /// A ConfigMap's key.
    PatchConfigMapKey {
        /// The key.
        key: String,
        /// True where the ConfigMap has no data at all.
        parent_absent: bool,
        /// Now; none: not there.
        from: Option<String>,
        /// Then; none: not there.
        to: Option<String>,
    },
    /// A Service's selector or target port.
    PatchService {
        /// Which of them.
        field: ServiceField,
        /// Now.
        from: String,
        /// Then.
        to: String,
    },
    /// A field of a probe.
    PatchProbe {
        /// Which container.
        container: Container,
        /// `livenessProbe.httpGet.port`
        field: String,
        /// Now.
        from: String,
        /// Then.
        to: String,
    },
    /// A HorizontalPodAutoscaler's bound.
    PatchHpa {
        /// `minReplicas` or `maxReplicas`.
        field: String,
        /// Now.
        from: i32,
        /// Then.
        to: i32,
    },
    /// What a HorizontalPodAutoscaler scales.
    RetargetHpa {
        /// `KIND/NAME` now.
        from: String,
        /// `KIND/NAME` then.
        to: String,
    },
    /// A PodDisruptionBudget's bound.
    PatchPdb {
        /// `minAvailable` or `maxUnavailable`.
        field: String,
        /// Now.
        from: String,
        /// Then.
        to: String,
    },
    /// A ResourceQuota's bound.
    PatchQuota {
        /// The resource.
        resource: String,
        /// Now.
        from: String,
        /// Then.
        to: String,
    },
    /// No new Jobs.
    SuspendCronJob,
    /// New Jobs again.
    ResumeCronJob,
    /// No new pods.
    CordonNode,
    /// New pods again.
    UncordonNode,
}

/// Which part of a container's resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::AsRefStr, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Section {
    /// `limits`
    Limits,
    /// `requests`
    Requests,
}

/// What of a Service changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceField {
    /// The value of one label of the selector.
    Selector(String),
    /// `targetPort` of the port at this index.
    TargetPort(i32),
}

impl Change {
    /// Its type in the catalogue.
    pub const fn action_type(&self) -> ActionType {
        match self {
            Self::RollbackRollout { .. } => ActionType::RollbackRollout,
            Self::RestartRollout { .. } => ActionType::RestartRollout,
            Self::Scale { .. } => ActionType::Scale,
            Self::SetImage { .. } => ActionType::SetImage,
            Self::SetResources { .. } => ActionType::SetResources,
            Self::SetEnv { .. } => ActionType::SetEnv,
            Self::SetConfigMapRef { .. } => ActionType::SetConfigMapRef,
            Self::PatchConfigMapKey { .. } => ActionType::PatchConfigMapKey,
            Self::PatchService { .. } => ActionType::PatchService,
            Self::PatchProbe { .. } => ActionType::PatchProbe,
            Self::PatchHpa { .. } | Self::RetargetHpa { .. } => ActionType::PatchHpa,
            Self::PatchPdb { .. } => ActionType::PatchPdb,
            Self::PatchQuota { .. } => ActionType::PatchQuota,
            Self::SuspendCronJob => ActionType::SuspendCronJob,
            Self::ResumeCronJob => ActionType::ResumeCronJob,
            Self::CordonNode => ActionType::CordonNode,
            Self::UncordonNode => ActionType::UncordonNode,
        }
    }

    /// What takes it back, exactly. `None`: nothing does.
    pub(super) fn inverse(&self) -> Option<Self> {
        let mut inverse = self.clone();
        match &mut inverse {
            Self::RestartRollout { .. } => return None,
            // `rollout undo` gives the old template a new number, one above the newest.
            Self::RollbackRollout {
                from_revision,
                to_revision,
            } => {
                *to_revision = *from_revision;
                *from_revision = from_revision.saturating_add(1);
            }
            Self::Scale { from, to } | Self::PatchHpa { from, to, .. } => std::mem::swap(from, to),
            Self::SetImage { from, to, .. }
            | Self::SetConfigMapRef { from, to, .. }
            | Self::RetargetHpa { from, to }
            | Self::PatchService { from, to, .. }
            | Self::PatchProbe { from, to, .. }
            | Self::PatchPdb { from, to, .. }
            | Self::PatchQuota { from, to, .. } => std::mem::swap(from, to),
            Self::SetResources {
                from,
                to,
                parent_absent,
                ..
            }
            | Self::PatchConfigMapKey {
                from,
                to,
                parent_absent,
                ..
            } => {
                std::mem::swap(from, to);
                *parent_absent = false;
            }
            Self::SetEnv { from, to, place, .. } => {
                std::mem::swap(from, to);
                *place = EnvPlace::At(match place {
                    EnvPlace::At(index) | EnvPlace::Append { index, .. } => *index,
                    EnvPlace::NewList => 0,
                });
            }
            Self::SuspendCronJob => inverse = Self::ResumeCronJob,
            Self::ResumeCronJob => inverse = Self::SuspendCronJob,
            Self::CordonNode => inverse = Self::UncordonNode,
            Self::UncordonNode => inverse = Self::CordonNode,
        }
        Some(inverse)
    }
}
