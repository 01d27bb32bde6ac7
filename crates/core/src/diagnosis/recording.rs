//! Evidence that was kept, as text: one header line, then one line for each piece, in the order in which it was read. It holds what
//! evidence holds, so it is redacted already; the same diagnosis comes of it without a cluster.
//!
//! Must never hold what was not redacted. Written by the plugin (`--record`), read by the plugin (`--from`) and by the tests.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::ObjectName;
use crate::sandbox::evidence::Evidence;

/// The file's name in a directory.
pub const FILE: &str = "evidence.jsonl";
/// The version that is written and read.
pub const VERSION: u32 = 1;

/// One investigation's evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// About what.
    pub header: Header,
    /// Everything that was read.
    pub evidence: Vec<Evidence>,
}

/// About what, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// `VERSION`.
    pub version: u32,
    /// The namespace that was looked at.
    pub namespace: String,
    /// The object that was asked about; absent: the whole namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ObjectName>,
    /// When it was read.
    pub read_at: Timestamp,
}

/// Why a recording cannot be read. Closed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingFault {
    /// Nothing in it.
    #[error("{FILE} is empty: record again with --record")]
    Empty,
    /// Not a line of a recording.
    #[error("{FILE}, line {line}: {message}. Record again with --record")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A later form.
    #[error("{FILE} is of version {0}, and this release reads version {VERSION}: record again with --record")]
    Version(u32),
}

impl Recording {
    /// Its text.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string(&self.header)?;
        text.push('\n');
        for one in &self.evidence {
            text.push_str(&serde_json::to_string(one)?);
            text.push('\n');
        }
        Ok(text)
    }

    /// From its text.
    pub fn from_text(text: &str) -> Result<Self, RecordingFault> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let fault = |index: usize, error: &serde_json::Error| RecordingFault::Line {
            line: index.saturating_add(1),
            message: error.to_string(),
        };
        let Some((index, first)) = lines.next() else {
            return Err(RecordingFault::Empty);
        };
        // The version first: a later header may hold what this one does not know.
        let version = serde_json::from_str::<Versioned>(first)
            .map_err(|error| fault(index, &error))?
            .version;
        if version != VERSION {
            return Err(RecordingFault::Version(version));
        }
        let header: Header = serde_json::from_str(first).map_err(|error| fault(index, &error))?;
        let evidence = lines
            .map(|(index, line)| serde_json::from_str(line).map_err(|error| fault(index, &error)))
            .collect::<Result<Vec<Evidence>, _>>()?;
        Ok(Self { header, evidence })
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::Role;
    use crate::sandbox::command::Command;
    use crate::sandbox::evidence::EvidenceState;

    fn recording() -> Recording {
        Recording {
            header: Header {
                version: VERSION,
                namespace: "shop".to_owned(),
                target: Some(ObjectName::namespaced("Deployment", "shop", "web")),
                read_at: Timestamp::UNIX_EPOCH,
            },
            evidence: vec![Evidence {
                id: "E1".to_owned(),
                agent: Role::SreInvestigator,
                command: Command::TopNodes,
                argv: vec!["kubectl".to_owned()],
                state: EvidenceState::Complete,
                exit_code: Some(0),
                duration_ms: 3,
                collected_at: Timestamp::UNIX_EPOCH,
                output: "two\nlines \u{2028} and \"quotes\"".to_owned(),
                sha256: "sha256:00".to_owned(),
            }],
        }
    }

    #[test]
    fn what_was_recorded_is_read_back() {
        let text = recording().to_text().unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(Recording::from_text(&text).unwrap(), recording());
    }

    #[test]
    fn a_file_that_is_none_says_where_and_what_to_do() {
        assert_eq!(Recording::from_text("\n"), Err(RecordingFault::Empty));
        let text = recording().to_text().unwrap();
        let cut = text.get(..text.len() - 9).unwrap();
        assert!(Recording::from_text(cut).unwrap_err().to_string().contains("line 2"));
        let later = text.replacen("\"version\":1", "\"version\":7,\"more\":true", 1);
        assert_eq!(Recording::from_text(&later), Err(RecordingFault::Version(7)));
    }
}
