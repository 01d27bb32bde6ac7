//! What comes in from outside: webhook bodies are parsed, an alert's labels become a target, a group of alerts becomes one incident,
//! and a target that is already being looked at, or was repaired a moment ago, waits.
//!
//! Pure. Nothing here trusts what it reads: text is data, sizes are bounded, and no label chooses by itself where an incident is made.
//! Called by the operator's `intake` (webhooks) and `incident::observe` (the gate).

pub mod alertmanager;
pub mod flap;
pub mod gate;
pub mod merge;
pub mod pagerduty;
pub mod rate;
pub mod reject;
pub mod report;
pub mod target;

pub use reject::{Rejection, Why};
