//! What the case file holds besides objects: events, logs, usage, and what could not be read. Plain values; made by the case file alone.

use k8s_openapi::jiff::Timestamp;

use super::objects::Object;
use crate::api::ObjectName;
use crate::metrics::answer::Series;
use crate::sandbox::command::Command;
use crate::sandbox::evidence::EvidenceState;

/// An object and the evidence that holds its newest form.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The object.
    pub object: Object,
    /// Evidence id.
    pub evidence: String,
    /// When it was seen.
    pub seen_at: Timestamp,
    /// Its uid; empty where it has none.
    pub uid: String,
    /// Its `apiVersion`.
    pub api_version: String,
}

/// One event, in the form that analyzers need.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// What it is about.
    pub object: ObjectName,
    /// `Warning` or `Normal`.
    pub warning: bool,
    /// `FailedScheduling`
    pub reason: String,
    /// What it says.
    pub message: String,
    /// How often.
    pub count: i32,
    /// First time.
    pub first: Option<Timestamp>,
    /// Last time.
    pub last: Option<Timestamp>,
    /// Evidence id.
    pub evidence: String,
}

/// The log of one container's run.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// The pod.
    pub pod: ObjectName,
    /// The container.
    pub container: String,
    /// The run before this one.
    pub previous: bool,
    /// How many last lines were asked for.
    pub tail: u32,
    /// What came before another record of the same run: its last lines are there.
    pub earlier: bool,
    /// Lines, with their time where the output has one.
    pub lines: Vec<LogLine>,
    /// When it was read.
    pub read_at: Timestamp,
    /// Evidence id.
    pub evidence: String,
}

/// Bytes of a line that are kept: what is longer is data, and no analyzer is to spend its time on it.
const LONGEST_LINE: usize = 32 * 1024;

/// One line of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// When the container wrote it.
    pub at: Option<Timestamp>,
    /// What it wrote, at most the first 32 KiB.
    pub text: String,
}

impl LogLine {
    /// Splits the timestamp off that `kubectl logs --timestamps` puts in front.
    pub(super) fn read(line: &str) -> Self {
        let line = line.get(..line.floor_char_boundary(LONGEST_LINE)).unwrap_or(line);
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        let looks_like_time = head.len() >= 20 && head.as_bytes().get(10) == Some(&b'T');
        match looks_like_time.then(|| head.parse::<Timestamp>().ok()).flatten() {
            Some(at) => Self {
                at: Some(at),
                text: rest.to_owned(),
            },
            None => Self {
                at: None,
                text: line.to_owned(),
            },
        }
    }
}

/// What one container uses, as the metrics API tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// Evidence id.
    pub evidence: String,
}

/// What a Prometheus measured of a workload's pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// By pod and container; empty where it knows nothing of them.
    pub series: Vec<Series>,
    /// Evidence id.
    pub evidence: String,
}

/// Something that was asked for and not, or not wholly, received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What was asked.
    pub command: Command,
    /// What came of it.
    pub state: EvidenceState,
    /// What was said.
    pub message: String,
    /// Evidence id.
    pub evidence: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_timestamp_that_kubectl_puts_in_front_is_taken_off() {
        for (line, stamped, text) in [
            ("2026-05-04T10:00:00.123456789Z started", true, "started"),
            ("2026-05-04T10:00:00Z", true, ""),
            // A program's own short form of a time stays in its line.
            ("2026-05-04T10Z started", false, "2026-05-04T10Z started"),
            ("2026-05-04 10:00:00Z started", false, "2026-05-04 10:00:00Z started"),
            (
                "abcdefghijTlmnopqrstuv started",
                false,
                "abcdefghijTlmnopqrstuv started",
            ),
            ("", false, ""),
        ] {
            let read = LogLine::read(line);
            assert_eq!((read.at.is_some(), read.text.as_str()), (stamped, text), "{line}");
        }
        assert_eq!(LogLine::read(&"ä".repeat(LONGEST_LINE)).text.len(), LONGEST_LINE);
    }
}
