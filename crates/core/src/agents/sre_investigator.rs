//! The SRE Investigator: the namespace, its workloads, changes, events, usage, and the logs of what the target depends on.
//! Decides only what to ask; must never conclude without evidence. Called by `run`.

use crate::diagnosis::{self, CaseFile, questions};
use crate::sandbox::command::Command;

/// What it wants to read next: everything once, then the logs of dependencies in trouble, as the logs read so far name them.
pub fn wants(case: &CaseFile) -> Vec<Command> {
    let first = questions::first_look(case.namespace());
    if first.iter().any(|command| !case.has_asked(command)) {
        return first;
    }
    let view = diagnosis::view(case);
    let mut next = questions::classes(&view.facts);
    next.extend(questions::vertical_autoscalers(&view.facts));
    next.extend(questions::other_logs(&view.facts, &view.graph, &view.logs));
    next
}
