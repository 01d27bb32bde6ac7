//! One command's output, as everything after the sandbox sees it: redacted, bounded, and honest about what is missing.
//! Built by the operator from the runner's lines, or by the plugin; read by `diagnosis`.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use super::command::Command;
use crate::api::Role;
use crate::api::status::JobPurpose;

/// Why an output is, or is not, the whole truth. Only `Complete` may be read as "there is nothing more".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, AsRefStr, Display)]
pub enum EvidenceState {
    /// The whole output.
    Complete,
    /// Cut at the cap.
    Truncated,
    /// The API server refused.
    Forbidden,
    /// The object does not exist.
    NotFound,
    /// The command ended with another error.
    Failed,
    /// The command did not end in time.
    TimedOut,
}

impl EvidenceState {
    /// How a command ended: kubectl says in words what the API server answered.
    pub fn of(exit_code: Option<i32>, timed_out: bool, stderr: &str) -> Self {
        if timed_out {
            return Self::TimedOut;
        }
        match exit_code {
            Some(0) => Self::Complete,
            // grep ends with 1 where nothing matches: that is an answer.
            Some(1) if stderr.trim().is_empty() => Self::Complete,
            _ if stderr.contains("(Forbidden)") || stderr.contains("is forbidden") => Self::Forbidden,
            _ if stderr.contains("(NotFound)") || stderr.contains("not found") => Self::NotFound,
            _ => Self::Failed,
        }
    }
}

/// For what something was looked at. The id of a piece of evidence says it: `E7`; `V2.7`, the seventh command of a verification's second
/// round; `VR1.7`, of a rollback's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, AsRefStr, Display)]
pub enum Stage {
    /// For the diagnosis.
    Investigation,
    /// To see whether a change helped.
    Verification,
    /// To see whether it was taken back.
    RollbackVerification,
}

impl Stage {
    /// The stage that an id tells.
    pub fn of_id(id: &str) -> Self {
        if id.starts_with("VR") {
            Self::RollbackVerification
        } else if id.starts_with('V') {
            Self::Verification
        } else {
            Self::Investigation
        }
    }
}

/// The id of a command's output: the same whenever and however often the output is read, and no other command's of the incident.
/// `before`: how many commands the investigation's earlier Jobs were asked for. `position`: of the command in its Job, from 0.
pub fn id(purpose: JobPurpose, round: i64, before: usize, position: usize) -> String {
    let number = position.saturating_add(1);
    match purpose {
        JobPurpose::Verification => format!("V{round}.{number}"),
        JobPurpose::RollbackVerification => format!("VR{round}.{number}"),
        JobPurpose::Evidence | JobPurpose::Execution | JobPurpose::Rollback => {
            format!("E{}", before.saturating_add(number))
        }
    }
}

/// The id of what a Prometheus measured, beside a round's commands: `M1.2`, `VM1.2`, `VRM1.2`.
pub fn measured_id(purpose: JobPurpose, round: i64, position: usize) -> String {
    let stage = match purpose {
        JobPurpose::Verification => "V",
        JobPurpose::RollbackVerification => "VR",
        JobPurpose::Evidence | JobPurpose::Execution | JobPurpose::Rollback => "",
    };
    format!("{stage}M{round}.{}", position.saturating_add(1))
}

/// One command's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// As `id` gives it; unique within the incident.
    pub id: String,
    /// Who asked for it.
    pub agent: Role,
    /// What was asked.
    pub command: Command,
    /// The argv that was run.
    pub argv: Vec<String>,
    /// How much of the truth it is.
    pub state: EvidenceState,
    /// Exit code; absent where the command was killed.
    pub exit_code: Option<i32>,
    /// Milliseconds.
    pub duration_ms: u64,
    /// When it was collected.
    pub collected_at: Timestamp,
    /// Redacted output: stdout, or stderr where the command failed.
    pub output: String,
    /// `sha256:` and 64 hex digits of `output`.
    pub sha256: String,
}

impl Evidence {
    /// What was said in place of a whole answer: the first error beside a document, or the first line.
    pub fn said(&self) -> String {
        let beside = serde_json::from_str::<serde_json::Value>(&self.output)
            .ok()
            .and_then(|document| Some(document.pointer("/firewatch/errors/0")?.as_str()?.to_owned()));
        let line = beside.unwrap_or_else(|| self.output.lines().next().unwrap_or_default().to_owned());
        line.chars().take(300).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_error_beside_a_document_is_what_was_said() {
        let mut evidence: Evidence = serde_json::from_str(
            r#"{"id":"E1","agent":"code-analyst","command":"topNodes","argv":[],"state":"Forbidden","exitCode":1,"durationMs":1,
            "collectedAt":"2026-03-01T12:00:00Z","output":"{\"items\":[],\"firewatch\":{\"errors\":[\"no\"]}}","sha256":""}"#,
        )
        .unwrap();
        assert_eq!(evidence.said(), "no");
        evidence.output = "error: first\nsecond".to_owned();
        assert_eq!(evidence.said(), "error: first");
    }

    #[test]
    fn no_two_commands_of_an_incident_share_an_id() {
        let mut seen = BTreeSet::new();
        for (purpose, stage) in [
            (JobPurpose::Verification, Stage::Verification),
            (JobPurpose::RollbackVerification, Stage::RollbackVerification),
        ] {
            for round in 1..=12 {
                for position in 0..12 {
                    for id in [id(purpose, round, 7, position), measured_id(purpose, round, position)] {
                        assert_eq!(Stage::of_id(&id), stage, "{id}");
                        assert!(seen.insert(id));
                    }
                }
            }
        }
        let measured = measured_id(JobPurpose::Evidence, 1, 0);
        assert_eq!(Stage::of_id(&measured), Stage::Investigation);
        assert!(seen.insert(measured));
        // Two Jobs of the investigation, of 7 and 5 commands.
        for (before, commands) in [(0, 7), (7, 5)] {
            for position in 0..commands {
                let id = id(JobPurpose::Evidence, 1, before, position);
                assert_eq!(Stage::of_id(&id), Stage::Investigation, "{id}");
                assert!(seen.insert(id));
            }
        }
        assert!(seen.contains("E1") && seen.contains("E12"));
    }
}
