//! Scenarios: workloads that truly break, with what Firewatch is expected to make of them.
//!
//! Firewatch itself never reads these files, and no rule may know their names: they serve people (`kubectl incident run`) and tests.

pub mod apply;
pub mod check;
pub mod files;
pub mod replayed;
pub mod steps;

use firewatch_core::api::{ActionType, Outcome};
use serde::Deserialize;

/// One scenario, as `scenario.yaml` describes it.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Its name, which is also that of its directory.
    pub name: String,
    /// What happens, in one line.
    pub title: String,
    /// Template of the namespace's name: `{id}` becomes a few characters of its own for each run.
    pub namespace: String,
    /// What is applied, in this order.
    pub steps: Vec<Step>,
    /// What shows that it is really broken.
    pub symptom: Checks,
    /// What Firewatch should make of it.
    pub expected: Expected,
    /// What shows that it is really repaired.
    pub health: Checks,
    /// The commands that repair it by hand, without `-n`.
    pub fix: Vec<Vec<String>>,
}

/// One manifest, or commands, and what to wait for afterwards.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// File beside `scenario.yaml`.
    #[serde(default)]
    pub apply: Option<String>,
    /// Commands without `-n`, for what a person did by hand (`kubectl scale`).
    #[serde(default)]
    pub run: Vec<Vec<String>>,
    /// What must hold before the next step.
    #[serde(default)]
    pub wait_for: Vec<check::Check>,
    /// How long that may take.
    #[serde(default = "one_minute")]
    pub timeout_seconds: u64,
}

/// Things that must all hold.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checks {
    /// How long it may take until they hold.
    #[serde(default = "one_minute")]
    pub timeout_seconds: u64,
    /// How long they must go on to hold.
    #[serde(default)]
    pub settle_seconds: u64,
    /// The things.
    pub checks: Vec<check::Check>,
}

fn one_minute() -> u64 {
    60
}

/// What Firewatch should make of a scenario.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// One of these outcomes.
    pub outcomes: Vec<Outcome>,
    /// The cause; absent where there is none.
    #[serde(default)]
    pub root_cause: Option<ExpectedCause>,
    /// The plan acts by these types only; empty: no action at all.
    pub actions: Vec<ActionType>,
}

/// The cause that should be named.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectedCause {
    /// At one of these objects, as `Kind/name`.
    pub objects: Vec<String>,
    /// Each of these regular expressions occurs in the cause or its chain.
    #[serde(default)]
    pub mentions: Vec<String>,
}

impl Expected {
    /// What differs from the expectation, in sentences. Empty: nothing.
    pub fn differences(&self, status: &firewatch_core::api::IncidentStatus) -> Vec<String> {
        let mut differences = Vec::new();
        match status.outcome {
            Some(outcome) if self.outcomes.contains(&outcome) => {}
            other => differences.push(format!(
                "outcome: expected {}, got {}",
                join(&self.outcomes),
                other.map_or_else(|| "none".to_owned(), |o| o.to_string())
            )),
        }
        match (&self.root_cause, &status.root_cause) {
            (None, None) => {}
            (None, Some(cause)) => differences.push(format!(
                "root cause: expected none, got {} at {}",
                cause.summary, cause.object
            )),
            (Some(_), None) => differences.push("root cause: expected one, got none".to_owned()),
            (Some(expected), Some(cause)) => {
                if !expected.objects.contains(&cause.object.to_string()) {
                    differences.push(format!(
                        "root cause: expected at {}, got {}",
                        expected.objects.join(" or "),
                        cause.object
                    ));
                }
                let text = format!("{} {}", cause.summary, cause.chain.join(" "));
                for pattern in &expected.mentions {
                    if !regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(&text)) {
                        differences.push(format!("root cause: does not mention {pattern}: {text}"));
                    }
                }
            }
        }
        let actions: Vec<ActionType> = status
            .plan
            .as_ref()
            .map(|plan| plan.actions.iter().map(|action| action.action_type).collect())
            .unwrap_or_default();
        let acts_as_expected = if self.actions.is_empty() {
            actions.is_empty()
        } else {
            actions.iter().any(|action| self.actions.contains(action))
        };
        if !acts_as_expected {
            differences.push(format!(
                "plan: expected {}, got {}",
                join(&self.actions),
                join(&actions)
            ));
        }
        differences
    }
}

fn join<T: std::fmt::Display>(values: &[T]) -> String {
    if values.is_empty() {
        return "nothing".to_owned();
    }
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::render::fixture;

    #[test]
    fn a_run_is_compared_with_what_was_expected() {
        let crashloop = files::Library::built_in().scenario("crashloop").unwrap();
        let status = fixture::remediated().status.unwrap();
        assert_eq!(crashloop.expected.differences(&status), Vec::<String>::new());
        let noise = files::Library::built_in().scenario("healthy_noise").unwrap();
        let differences = noise.expected.differences(&status);
        assert_eq!(differences.len(), 3, "{differences:?}");
        assert_eq!(
            differences.first().map(String::as_str),
            Some("outcome: expected NoActionRequired, got Remediated")
        );
    }
}
