//! Measurements over time from a Prometheus: which may be asked for, how each is asked, and what of an answer is kept.
//!
//! Pure: whoever holds the address (the operator's edge, the plugin) sends the request and hands the answer in. The set of questions is
//! closed: nothing that an agent, a model or a cluster says becomes a query. An answer is text from elsewhere, so nothing of it is kept
//! but names of pods and containers, and numbers.

pub mod answer;
pub mod outcome;
pub mod query;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter};

/// What may be measured. Closed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, AsRefStr, Display, EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Metric {
    /// Working set of each container, in bytes: what the kernel counts against the limit.
    Memory,
    /// Processor time of each container, in cores.
    Cpu,
    /// The part of its periods in which a container was held at its CPU limit, from 0 to 1.
    CpuThrottling,
    /// How often each container was started again.
    Restarts,
    /// Requests that each pod answers, a second, where it counts them under a usual name.
    Requests,
    /// Those of them that end with a server's error, a second.
    RequestErrors,
}

/// How far back is looked, in seconds.
pub const WINDOW_SECONDS: i64 = 3600;
/// How far apart the measurements are, in seconds.
pub const STEP_SECONDS: i64 = 30;
/// Series of one answer that are read.
pub const SERIES_MAX: usize = 64;
/// Measurements of one series that are read: one more than the window holds.
pub const POINTS_MAX: usize = 121;
/// Bytes of an answer that are read. What the bounds above allow is a fraction of it.
pub const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest that one answer may take, in milliseconds.
pub const ANSWER_TIMEOUT_MS: u64 = 5_000;
