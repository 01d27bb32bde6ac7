//! The Code Analyst: logs, stack traces, and differences of code and configuration.
//! Decides only what to ask; must never conclude without evidence. Called by `run`.

use crate::diagnosis::CaseFile;
use crate::sandbox::command::Command;

/// What it wants to read next.
pub fn wants(case: &CaseFile, round: u8) -> Vec<Command> {
    let _ = (case, round);
    Vec::new()
}
