//! An action: one change of the catalogue on one object, and the form of it that a person approves.
//!
//! Must never hold anything that is not typed and checked: an `Action` can be made only through `Action::new` or from a
//! `PlannedAction`, and both refuse what the catalogue does not know. Made by `plan`; rendered again by the executor and the plugin.

use strum::IntoEnumIterator;
use thiserror::Error;

use super::change::Change;
use super::{check, parse};
use crate::api::{ActionTarget, ActionType, PlannedAction};

/// One action on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    target: ActionTarget,
    change: Change,
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

impl Action {
    /// An action of the catalogue, or why it is none.
    pub fn new(target: ActionTarget, change: Change) -> Result<Self, ActionError> {
        let action = Self { target, change };
        check::check(&action)?;
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
