//! What the runner prints, line by line, and how the operator reads it: only lines that carry the nonce count, in order, and their
//! number and digest must be those of the termination message. A log that was cut or forged is seen as such.
//!
//! Written by the runner (`render`), read by the operator (`parse_log`).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strum::AsRefStr;

use super::evidence::EvidenceState;

/// One command's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputLine {
    /// The request's nonce, or the claim's.
    pub nonce: String,
    /// From 1, without gap.
    pub sequence: u32,
    /// Which command of the request, or which action of the plan.
    pub id: String,
    /// What was run.
    pub argv: Vec<String>,
    /// How much of the truth it is.
    pub state: EvidenceState,
    /// Absent where it was killed.
    pub exit_code: Option<i32>,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Redacted, pruned and capped.
    pub output: String,
    /// How many bytes the command printed in all.
    pub total_bytes: u64,
    /// `sha256:` and 64 hex digits of `output`.
    pub sha256: String,
}

/// What the runner leaves in the pod's termination message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Termination {
    /// How many lines were printed.
    pub lines: u32,
    /// `sha256:` and 64 hex digits over all lines, each with its newline.
    pub sha256: String,
    /// Why the runner did not run the request, where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// In one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Why a log is not believed. Closed.
#[derive(Clone, Debug, PartialEq, Eq, AsRefStr, thiserror::Error)]
pub enum OutputFault {
    /// The runner says itself that it could not run.
    #[error("{fault}: {message}")]
    Runner {
        /// Its closed reason.
        fault: String,
        /// Its words.
        message: String,
    },
    /// The pod left no termination message that can be read.
    #[error("the runner left no digest of its lines")]
    NoTermination,
    /// Lines are missing.
    #[error("{found} of {expected} lines arrived: the log was cut")]
    Cut {
        /// Lines that were read.
        found: u32,
        /// Lines that were printed.
        expected: u32,
    },
    /// Lines that the runner did not print.
    #[error("line {0} was not printed by the runner")]
    Forged(u32),
    /// The lines are not those of the digest.
    #[error("the lines are not those of which the runner left the digest")]
    DigestMismatch,
    /// More than a pod may print.
    #[error("the log is larger than a pod may print")]
    Oversized,
}

/// Renders lines and keeps their count and digest.
#[derive(Default)]
pub struct Printer {
    hash: Sha256,
    lines: u32,
}

impl Printer {
    /// One line, with its newline. The sequence is given here.
    pub fn render(&mut self, mut line: OutputLine) -> Result<String, serde_json::Error> {
        self.lines = self.lines.saturating_add(1);
        line.sequence = self.lines;
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        self.hash.update(text.as_bytes());
        Ok(text)
    }

    /// What goes into the termination message.
    pub fn termination(self) -> Termination {
        Termination {
            lines: self.lines,
            sha256: format!("sha256:{}", hex::encode(self.hash.finalize())),
            fault: None,
            message: None,
        }
    }
}

/// Reads a pod's log. Every line must be the runner's, in order and whole.
pub fn parse_log(log: &str, termination: Option<&str>, nonce: &str) -> Result<Vec<OutputLine>, OutputFault> {
    let termination: Termination = termination
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or(OutputFault::NoTermination)?;
    if let Some(fault) = termination.fault {
        return Err(OutputFault::Runner {
            fault,
            message: termination.message.unwrap_or_default(),
        });
    }
    // Lines are JSON: escaping can at most multiply what a pod may print.
    if log.len() > super::request::POD_BYTES_MAX.saturating_mul(2) {
        return Err(OutputFault::Oversized);
    }
    let mut hash = Sha256::new();
    let mut lines = Vec::new();
    for (index, text) in log.lines().filter(|l| !l.is_empty()).enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        // A last line that is not whole is a cut log, not a forged one.
        let line: OutputLine = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(error) if error.is_eof() && number <= termination.lines => {
                return Err(OutputFault::Cut {
                    found: number.saturating_sub(1),
                    expected: termination.lines,
                });
            }
            Err(_) => return Err(OutputFault::Forged(number)),
        };
        if line.nonce != nonce || line.sequence != number || number > termination.lines {
            return Err(OutputFault::Forged(number));
        }
        hash.update(text.as_bytes());
        hash.update(b"\n");
        lines.push(line);
    }
    let found = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    if found < termination.lines {
        return Err(OutputFault::Cut {
            found,
            expected: termination.lines,
        });
    }
    if format!("sha256:{}", hex::encode(hash.finalize())) != termination.sha256 {
        return Err(OutputFault::DigestMismatch);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn line(id: &str, output: &str) -> OutputLine {
        OutputLine {
            nonce: NONCE.into(),
            sequence: 0,
            id: id.into(),
            argv: vec!["kubectl".into()],
            state: EvidenceState::Complete,
            exit_code: Some(0),
            duration_ms: 1,
            output: output.into(),
            total_bytes: output.len() as u64,
            sha256: String::new(),
        }
    }

    fn printed(outputs: &[&str]) -> (String, String) {
        let mut printer = Printer::default();
        let log = outputs.iter().map(|o| printer.render(line("c1", o)).unwrap()).collect();
        (log, serde_json::to_string(&printer.termination()).unwrap())
    }

    #[test]
    fn what_was_printed_is_read_back() {
        let (log, termination) = printed(&["a", "b\nc"]);
        let lines = parse_log(&log, Some(&termination), NONCE).unwrap();
        assert_eq!(
            lines.iter().map(|l| l.output.as_str()).collect::<Vec<_>>(),
            ["a", "b\nc"]
        );
    }

    #[test]
    fn a_log_that_lost_its_end_is_cut() {
        let (log, termination) = printed(&["a", "b", "c"]);
        let two: String = log.split_inclusive('\n').take(2).collect();
        assert_eq!(
            parse_log(&two, Some(&termination), NONCE),
            Err(OutputFault::Cut { found: 2, expected: 3 })
        );
        let half = &log[..log.len() - 40];
        assert_eq!(
            parse_log(half, Some(&termination), NONCE),
            Err(OutputFault::Cut { found: 2, expected: 3 })
        );
    }

    #[test]
    fn a_line_that_the_runner_did_not_print_is_seen() {
        let (log, termination) = printed(&["a"]);
        let mut forged = line("c1", "all is well");
        forged.nonce = "f".repeat(32);
        forged.sequence = 1;
        let forged = serde_json::to_string(&forged).unwrap();
        assert_eq!(
            parse_log(&format!("{forged}\n{log}"), Some(&termination), NONCE),
            Err(OutputFault::Forged(1))
        );
        assert_eq!(
            parse_log(&format!("{log}hello\n"), Some(&termination), NONCE),
            Err(OutputFault::Forged(2))
        );
    }

    #[test]
    fn a_changed_output_does_not_have_the_digest() {
        let (log, termination) = printed(&["replicas: 3"]);
        let changed = log.replace("replicas: 3", "replicas: 0");
        assert_eq!(
            parse_log(&changed, Some(&termination), NONCE),
            Err(OutputFault::DigestMismatch)
        );
    }

    #[test]
    fn without_a_termination_message_nothing_is_believed() {
        let (log, _) = printed(&["a"]);
        assert_eq!(parse_log(&log, None, NONCE), Err(OutputFault::NoTermination));
        assert_eq!(parse_log(&log, Some("oops"), NONCE), Err(OutputFault::NoTermination));
    }

    #[test]
    fn the_runners_own_fault_is_passed_on() {
        let termination = r#"{"lines":0,"sha256":"","fault":"SandboxDegraded","message":"no Landlock"}"#;
        let fault = OutputFault::Runner {
            fault: "SandboxDegraded".into(),
            message: "no Landlock".into(),
        };
        assert_eq!(parse_log("", Some(termination), NONCE), Err(fault));
    }
}
