//! One command's output, as everything after the sandbox sees it: redacted, bounded, and honest about what is missing.
//! Built by the operator from the runner's lines, or by the plugin; read by `diagnosis`.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use super::command::Command;
use crate::api::Role;

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

/// One command's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// `E1`, `E2`, …, unique within the incident.
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
