//! What a person's words about a plan can change, on the rules engine: a closed set of wishes, read as data. Words that match none
//! ask for the next alternative. Must never take a value from free text but a number of replicas. Called by `plan`.

use regex::Regex;
use std::sync::LazyLock;

use super::action::Action;
use super::change::Change;
use crate::api::ActionType;

static NO_RESTART: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b(no|without( a)?|do(n't| not)|never) restart").ok());
static REPLICAS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)\b([0-9]{1,3}) (replicas|pods)\b").ok());

/// What is wished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `RestartRollout` is to be left out.
    pub no_restart: bool,
    /// Scale to so many.
    pub replicas: Option<i32>,
}

/// The wishes in a person's words.
pub fn read(text: &str) -> Wishes {
    Wishes {
        no_restart: NO_RESTART.as_ref().is_some_and(|rule| rule.is_match(text)),
        replicas: REPLICAS
            .as_ref()
            .and_then(|rule| rule.captures(text))
            .and_then(|found| found.get(1))
            .and_then(|number| number.as_str().parse().ok())
            .filter(|number| (1..=100).contains(number)),
    }
}

impl Wishes {
    /// Whether anything is wished that can be done to the same plan.
    pub fn is_specific(&self) -> bool {
        self.no_restart || self.replicas.is_some()
    }

    /// The actions as wished.
    pub fn apply(&self, actions: Vec<Action>) -> Vec<Action> {
        actions
            .into_iter()
            .filter(|action| !(self.no_restart && action.action_type() == ActionType::RestartRollout))
            .map(|action| match (action.change(), self.replicas) {
                (Change::Scale { from, .. }, Some(to)) => {
                    Action::new(action.target().clone(), Change::Scale { from: *from, to }).unwrap_or(action)
                }
                _ => action,
            })
            .collect()
    }
}
