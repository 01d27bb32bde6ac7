//! From evidence to one root cause: the case file, analyzers by failure domain, the object graph, and the cause that explains the
//! others. Pure. Called by the operator's loop, by the agents and by the plugin.

pub mod case_file;
pub mod finding;
pub mod remedy;

use serde::{Deserialize, Serialize};

pub use case_file::CaseFile;
pub use finding::{Confidence, Depth, Finding, RootCause, Verdict};
pub use remedy::Remedy;

/// What the evidence shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// In one word.
    pub verdict: Verdict,
    /// Everything that was found, most certain first.
    pub findings: Vec<Finding>,
    /// The cause, where one is shown.
    pub root_cause: Option<RootCause>,
    /// What was looked at, for people.
    pub checked: Vec<String>,
    /// What to look at or do next, with commands.
    pub next_steps: Vec<String>,
}

/// Reads the whole case file.
pub fn diagnose(case: &CaseFile) -> Diagnosis {
    let _ = case;
    Diagnosis {
        verdict: Verdict::Unexplained,
        findings: Vec::new(),
        root_cause: None,
        checked: Vec::new(),
        next_steps: Vec::new(),
    }
}
