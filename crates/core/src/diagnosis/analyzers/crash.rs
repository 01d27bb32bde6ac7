//! Uncaught errors that end a container: the error and the innermost frame of the application's own code; and crashes whose log says
//! nothing that is known.
//!
//! Evidence: the log's last stack trace, the exit code. Looks alike: traces that a running program prints for errors that it handled;
//! those are left alone. Exit code 137 is not called out of memory here: that is `memory`'s to show.

use super::{KnownCause, View, claim, known};
use crate::diagnosis::case_file::LogRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload, ended};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{self, Level};
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "UncaughtError",
        "An uncaught error ends the program.",
        "The last stack trace, the exit code.",
        "Traces of errors that a running program handled.",
    ),
    known(
        "EndsWithError",
        "The program ends after an error that is not known.",
        "The last line marked as an error.",
        "Errors that a running program prints.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        if let Some(finding) = trace(view, workload).or_else(|| last_words(view, workload)) {
            found.push(finding);
        }
    }
    found
}

fn failing_logs<'v>(view: &'v View<'_>, workload: &'v Workload<'_>) -> impl Iterator<Item = &'v LogRecord> {
    view.logs
        .positions(&workload.name)
        .iter()
        .filter_map(|at| Some((*at, view.facts.case.logs().get(*at)?)))
        .filter(|(at, log)| !log.earlier && super::signatures::is_failing(workload, view, *at))
        .map(|(_, log)| log)
        .filter(|log| {
            workload
                .pods
                .iter()
                .filter(|pod| *pod.name == log.pod)
                .flat_map(PodFacts::statuses)
                .any(|(status, _)| status.name == log.container && ended(status).is_some_and(|end| end.exit_code != 0))
        })
}

fn trace(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let told: Vec<_> = failing_logs(view, workload)
        .filter_map(|log| Some((log, logs::last_trace(log)?)))
        .filter(|(_, trace)| trace.lines_after <= 25)
        .collect();
    let (log, trace) = told
        .iter()
        .min_by_key(|(log, trace)| (trace.lines_after, log.previous))?;
    let place = trace
        .frame
        .as_deref()
        .map_or(String::new(), |frame| format!(" at {frame}"));
    let cause = trace
        .cause
        .as_deref()
        .map_or(String::new(), |cause| format!("; it was raised from: {cause}"));
    Some(
        claim("UncaughtError", &workload.name, Depth::Mechanism, Basis::Logged, 1)
            .says(format!(
                "container {} of {} ends with an uncaught {} error{place}: {}{cause}",
                log.container, workload.name, trace.language, trace.error
            ))
            // Each of its runs tells it.
            .cites(
                [log.evidence.as_str(), workload.evidence]
                    .into_iter()
                    .chain(told.iter().map(|(log, _)| log.evidence.as_str())),
            )
            .manual(format!("correct the program{place}, or what it was given"))
            .done(),
    )
}

/// Lines from the end of a log: what stands there is why the program ended, as it says itself.
const VERY_LAST: usize = 3;

/// The last line that a crashing program marks as an error. Among its very last words it is why the program ended; before them it is
/// no cause, but what a person would read first.
fn last_words(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let (log, at, line) = failing_logs(view, workload).find_map(|log| {
        let (at, line) = log
            .lines
            .iter()
            .rev()
            .filter(|line| !line.text.trim().is_empty())
            .take(10)
            .enumerate()
            .find(|(_, line)| logs::level(&line.text) == Level::Error)?;
        Some((log, at, line))
    })?;
    let depth = if at < VERY_LAST {
        Depth::Mechanism
    } else {
        Depth::Symptom
    };
    Some(
        claim("EndsWithError", &workload.name, depth, Basis::Logged, 0)
            .says(format!(
                "container {} of {} ends after: {}",
                log.container,
                workload.name,
                clip(line.text.trim(), 240)
            ))
            .cites([log.evidence.as_str(), workload.evidence])
            .manual("put right what that line names, or what the program was given")
            .done(),
    )
}
