//! Programs that run, are ready, and do their work no more: a thread of theirs ended with an uncaught error, or a log that told of work
//! at a steady pace fell silent. No probe sees either.
//!
//! Evidence: the log and the time of the look; the readiness of the pod; a count of waiting work that grows in the log of what it calls.
//! Looks alike: a program that nobody asks for anything, one that waited at its start, and threads that serve one request each.

use std::sync::LazyLock;

use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::diagnosis::case_file::LogRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{self, Signature};
use crate::diagnosis::remedy::Remedy;
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "WorkStopped",
        "A program runs and is ready, and the work that it told of at a steady pace has stopped: a deadlock, a blocked call.",
        "The times of the log's lines beside the time of the look; a count of waiting work that grows where it gets its work from.",
        "A program that nobody asks for anything; work that has ended.",
    ),
    known(
        "ThreadEnded",
        "A thread of a program that runs on ended with an uncaught error, and its work is done no more.",
        "The stack trace with the thread's name, in the log of the present run, and nothing of that thread since.",
        "Threads that serve one request each, or that are started again.",
    ),
];

/// Lines that a stack trace may take.
const TRACE: usize = 120;

static ENDED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"^Exception in thread "?([^":]+)"?:?(?: (\S.*))?$"#).ok());
/// The first thread ends the program; others come and go with requests and tasks.
static PASSING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^main(?:thread)?$|pool|request|handle|conn|http|exec|worker-\d|task-\d|^Thread-\d+$").ok()
});

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .workloads
        .iter()
        .filter(|workload| workload.is_service())
        .filter_map(|workload| {
            present(view, workload)
                .find_map(|log| thread(workload, log))
                .or_else(|| present(view, workload).find_map(|log| silent(view, workload, log)))
        })
        .collect()
}

/// Logs of containers that run now, in pods that are ready.
fn present<'v>(view: &'v View<'_>, workload: &'v Workload<'_>) -> impl Iterator<Item = &'v LogRecord> {
    view.logs
        .positions(&workload.name)
        .iter()
        .filter_map(|at| view.facts.case.logs().get(*at))
        .filter(|log| !log.previous && !log.earlier)
        .filter(|log| {
            workload.pods.iter().any(|pod| {
                *pod.name == log.pod
                    && pod.is_ready()
                    && !pod.is_going()
                    && pod.statuses().any(|(status, init)| {
                        !init
                            && status.name == log.container
                            && status.state.as_ref().is_some_and(|state| state.running.is_some())
                    })
            })
        })
}

fn thread(workload: &Workload<'_>, log: &LogRecord) -> Option<Finding> {
    let (regex, passing) = (ENDED.as_ref()?, PASSING.as_ref()?);
    let ends: Vec<(usize, String, Option<String>)> = log
        .lines
        .iter()
        .enumerate()
        .filter_map(|(index, line)| {
            let captures = regex.captures(line.text.trim_end())?;
            let word = |n| captures.get(n).map(|m: regex::Match<'_>| m.as_str().to_owned());
            Some((index, word(1)?, word(2)))
        })
        .collect();
    // One that ends again was started again.
    let [(index, name, told)] = ends.as_slice() else {
        return None;
    };
    if passing.is_match(name) {
        return None;
    }
    // The trace, up to the error of a Python program; what follows is the program's again.
    let rest = log.lines.get(index + 1..)?;
    let error = match told {
        Some(error) => error.clone(),
        None => last_error(rest)?,
    };
    let after = rest
        .iter()
        .rposition(|line| line.text.contains(&error))
        .map_or(rest, |at| rest.get(at + 1..).unwrap_or_default());
    if after
        .iter()
        .any(|line| line.text.contains(&format!("[{name}]")) || line.text.contains(&format!("({name})")))
    {
        return None;
    }
    let of_start = logs::signature(&error).is_some_and(|signature| {
        matches!(
            signature,
            Signature::Refused | Signature::TimedOut | Signature::Dns | Signature::Reset
        )
    });
    let reason = format!(
        "relief: its thread {name} ended with an error of the moment ({}) and nothing starts it again but a new pod",
        clip(&error, 120)
    );
    let remedy = if of_start {
        Remedy::Restart {
            workload: workload.name.clone(),
            reason,
        }
    } else {
        Remedy::Manual {
            instruction: format!(
                "let {} survive or start again its thread {name}: {}",
                workload.name,
                clip(&error, 160)
            ),
        }
    };
    Some(
        claim("ThreadEnded", &workload.name, Depth::Mechanism, Basis::Logged, 1)
            .says(format!(
                "thread {name} of container {} of {} stopped with an uncaught error ({}) and has said nothing since, while the program runs on and is ready without it",
                log.container,
                workload.name,
                clip(&error, 200)
            ))
            .cites([log.evidence.as_str(), workload.evidence])
            .since(log.lines.get(*index).and_then(|line| line.at))
            .remedy(remedy)
            .long_term(format!("let {} end, or fail its probe, when thread {name} does", workload.name))
            .done(),
    )
}

/// The last line of a Python trace: of several that led to one another, the last.
fn last_error(lines: &[crate::diagnosis::case_file::LogLine]) -> Option<String> {
    let mut error = None;
    let mut in_trace = false;
    for line in lines.iter().take(TRACE) {
        let text = line.text.trim_end();
        if text.starts_with("Traceback (most recent call last)") {
            in_trace = true;
        } else if in_trace && !text.is_empty() && !text.starts_with([' ', '\t']) {
            error = Some(text.to_owned());
            in_trace = false;
        } else if !in_trace
            && !text.is_empty()
            && !text.starts_with("During handling")
            && !text.starts_with("The above exception")
        {
            break;
        }
    }
    error
}

fn silent(view: &View<'_>, workload: &Workload<'_>, log: &LogRecord) -> Option<Finding> {
    let stop = logs::silence::stopped(log)?;
    let waiting = view
        .graph
        .reach(&workload.name)
        .iter()
        .filter(|name| **name != workload.name)
        .filter_map(|name| view.facts.workload(name))
        .flat_map(|other| view.logs.positions(&other.name))
        .filter_map(|at| view.facts.case.logs().get(*at))
        .find_map(|other| Some((logs::silence::growing(other)?, other)));
    let quiet = super::changes::ago(log.read_at, stop.last);
    #[allow(clippy::cast_precision_loss)]
    let pace = stop.pace_millis as f64 / 1000.0;
    let says = format!(
        "container {} of {} runs, is ready, and its work has stopped: it wrote \"{}\" every {pace:.1} s, {} times, and was silent since {quiet}",
        log.container,
        workload.name,
        clip(&stop.sample, 120),
        stop.count
    );
    let Some(((what, from, to), other)) = waiting else {
        return Some(
            claim("WorkStopped", &workload.name, Depth::Symptom, Basis::Inferred, 0)
                .says(format!("{says}: it may hang, or have nothing to do"))
                .cites([log.evidence.as_str(), workload.evidence])
                .since(Some(stop.last))
                .done(),
        );
    };
    Some(
        claim("WorkStopped", &workload.name, Depth::Mechanism, Basis::Inferred, 3)
            .says(format!(
                "{says}, while {what} grows from {from} to {to} in the log of {}: it hangs (a deadlock, a blocked call)",
                other.pod
            ))
            .cites([log.evidence.as_str(), other.evidence.as_str(), workload.evidence])
            .since(Some(stop.last))
            .remedy(Remedy::Restart {
                workload: workload.name.clone(),
                reason: "relief: what hangs works again in a new pod, until it hangs again; take a thread dump before".to_owned(),
            })
            .long_term(format!(
                "find which threads of {} wait for each other (a thread dump), and give it a liveness probe that fails when its work stops",
                workload.name
            ))
            .done(),
    )
}
