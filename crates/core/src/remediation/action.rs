//! The catalogue as types: what each action changes, from what, to what, and its exact inverse.
//!
//! Must never hold anything that is not typed and checked: an `Action` can be made only through `Action::new` or from a
//! `PlannedAction`, and both refuse what the catalogue does not know. Made by `plan`; rendered again by the executor and the plugin.

use strum::IntoEnumIterator;
use thiserror::Error;

use super::parse;
use crate::api::{ActionTarget, ActionType, PlannedAction};

/// One action on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    target: ActionTarget,
    change: Change,
}

/// A container of a pod template: its place, and its name, which the command tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Index in `spec.containers`.
    pub index: i32,
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
/// | PatchConfigMapKey | key | values; no from: was not there; no to: is removed |
/// | PatchService | `selector.KEY`, or `targetPort` with its index | values |
/// | PatchProbe | container, `livenessProbe.httpGet.port` | values |
/// | PatchHpa | `minReplicas`, `maxReplicas` | numbers |
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

/// Why a planned action is none of the catalogue. Closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ActionError {
    /// The type cannot change objects of that kind.
    #[error("{action} does not change objects of kind {api_version}/{kind}")]
    UnknownKind {
        /// The type.
        action: ActionType,
        /// As given.
        api_version: String,
        /// As given.
        kind: String,
    },
    /// A field that the type needs is absent.
    #[error("{action} needs {field}")]
    Missing {
        /// The type.
        action: ActionType,
        /// The field.
        field: &'static str,
    },
    /// A field holds what it may not.
    #[error("{field}: {why}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The type does not use a field that is set.
    #[error("{action} does not use all of the parameters that are set")]
    Unused {
        /// The type.
        action: ActionType,
    },
    /// `from` and `to` are the same.
    #[error("from and to are the same: nothing would change")]
    NoChange,
    /// The command would be longer than an approval may hold.
    #[error("the change is too large for one command; it must be made by hand")]
    TooLarge,
}

impl ActionError {
    /// The closed reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownKind { .. } => "ActionKindUnknown",
            Self::Missing { .. } => "ActionParameterMissing",
            Self::Invalid { .. } => "ActionParameterInvalid",
            Self::Unused { .. } => "ActionParameterUnused",
            Self::NoChange => "ActionChangesNothing",
            Self::TooLarge => "ActionTooLarge",
        }
    }
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
            Self::PatchConfigMapKey { .. } => ActionType::PatchConfigMapKey,
            Self::PatchService { .. } => ActionType::PatchService,
            Self::PatchProbe { .. } => ActionType::PatchProbe,
            Self::PatchHpa { .. } => ActionType::PatchHpa,
            Self::PatchPdb { .. } => ActionType::PatchPdb,
            Self::PatchQuota { .. } => ActionType::PatchQuota,
            Self::SuspendCronJob => ActionType::SuspendCronJob,
            Self::ResumeCronJob => ActionType::ResumeCronJob,
            Self::CordonNode => ActionType::CordonNode,
            Self::UncordonNode => ActionType::UncordonNode,
        }
    }

    /// What takes it back, exactly. `None`: nothing does.
    fn inverse(&self) -> Option<Self> {
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

impl Action {
    /// An action of the catalogue, or why it is none.
    pub fn new(target: ActionTarget, change: Change) -> Result<Self, ActionError> {
        let action = Self { target, change };
        parse::check(&action)?;
        Ok(action)
    }

    /// The object that it changes.
    pub const fn target(&self) -> &ActionTarget {
        &self.target
    }

    /// What it changes.
    pub const fn change(&self) -> &Change {
        &self.change
    }

    /// Its type in the catalogue.
    pub const fn action_type(&self) -> ActionType {
        self.change.action_type()
    }

    /// What takes it back, exactly. `None`: nothing does.
    pub fn inverse(&self) -> Option<Self> {
        Some(Self {
            target: self.target.clone(),
            change: self.change.inverse()?,
        })
    }

    /// In the form that a person approves: everything computed from the typed values.
    pub fn to_planned(&self, id: &str, evidence: &[String], diff: Option<&str>) -> PlannedAction {
        PlannedAction {
            id: id.to_owned(),
            action_type: self.action_type(),
            target: self.target.clone(),
            parameters: parse::parameters(&self.change),
            command: self.argv(),
            risk: self.risk(),
            impact: self.impact(),
            rollback: self.inverse().map(|inverse| inverse.argv()).unwrap_or_default(),
            diff: diff.map(|text| crate::text::clip(text, 8192)),
            evidence: evidence.iter().take(16).cloned().collect(),
        }
    }
}

impl TryFrom<&PlannedAction> for Action {
    type Error = ActionError;

    /// Reads type, target and parameters alone; everything else of a planned action is computed from them.
    fn try_from(planned: &PlannedAction) -> Result<Self, ActionError> {
        let change = parse::change(planned)?;
        let action = Self::new(planned.target.clone(), change)?;
        if parse::parameters(&action.change) != planned.parameters {
            return Err(ActionError::Unused {
                action: planned.action_type,
            });
        }
        Ok(action)
    }
}

/// Every type of the catalogue, in its order.
pub fn catalogue() -> impl Iterator<Item = ActionType> {
    ActionType::iter()
}
