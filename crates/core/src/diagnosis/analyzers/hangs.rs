//! Programs that hang: running, ready and silent, while who calls them waits in vain.
//!
//! Evidence: a log that came steadily and has stopped, callers whose calls time out, usage near nothing. Looks alike: a program that logs
//! only when it is asked and is not (then nobody waits), one that waits for another (its own log says so), and one that is held at its
//! CPU limit (`cpu`).

use super::{KnownCause, View, claim, known};
use crate::diagnosis::case_file::LogRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::graph::{self, Destination};
use crate::diagnosis::logs::Signature;
use crate::diagnosis::remedy::Remedy;

/// So many lines show a pace.
const STEADY_LINES: usize = 12;
/// Silence shorter than this is a pause.
const LEAST_SILENCE_SECS: i64 = 60;
/// A container that uses less does nothing.
const IDLE_MILLIS: u64 = 5;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "Hangs",
    "A program runs, is ready, and does nothing any more: a deadlock, a thread that never returns.",
    "Its log came steadily and has stopped; callers time out; usage near nothing.",
    "A program without load; one that waits for what it calls; one held at its CPU limit.",
)];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .workloads
        .iter()
        .filter_map(|workload| judge(view, workload))
        .collect()
}

fn judge(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    if !workload.is_service() || workload.ready() == 0 {
        return None;
    }
    // It says itself what it waits for.
    let told = view
        .logs
        .of(&workload.name)
        .any(|(at, group, _)| super::signatures::counts(view, workload, at, group));
    if told {
        return None;
    }
    let logs: Vec<&LogRecord> = workload
        .pods
        .iter()
        .filter(|pod| pod.is_ready())
        .flat_map(|pod| {
            workload
                .containers()
                .iter()
                .flat_map(move |c| view.facts.logs(pod.name, &c.name))
        })
        .filter(|log| !log.previous)
        .collect();
    let silent: Vec<(&LogRecord, i64)> = logs.iter().filter_map(|log| Some((*log, silence(log)?))).collect();
    // One of several that still works is not a program that hangs.
    if silent.is_empty() || silent.len() < logs.len() {
        return None;
    }
    let (log, seconds) = silent.first().copied()?;
    let (caller, caller_evidence) = caller(view, workload)?;
    let usage: Vec<_> = view
        .facts
        .case
        .usage()
        .iter()
        .filter(|usage| workload.pods.iter().any(|pod| pod.name.name == usage.pod))
        .collect();
    let idle = !usage.is_empty() && usage.iter().all(|usage| usage.cpu_millis <= IDLE_MILLIS);
    let busy = usage.iter().any(|usage| usage.cpu_millis > 100);
    if busy {
        return None;
    }
    let used = usage.first().filter(|_| idle);
    Some(
        claim("Hangs", &workload.name, Depth::Fault, Basis::Inferred, 2 + u8::from(idle))
            .says(format!(
                "{} hangs: its pods run and are ready, its log came steadily and has been silent for {seconds} s, and calls of {} time out{}",
                workload.name,
                caller.name,
                if idle { "; it uses next to no CPU" } else { "" }
            ))
            .cites(
                [log.evidence.as_str(), workload.evidence, caller_evidence]
                    .into_iter()
                    .chain(used.map(|usage| usage.evidence.as_str())),
            )
            .affects([caller.name.clone()])
            .since(log.lines.iter().rev().find_map(|line| line.at))
            .remedy(Remedy::Restart {
                workload: workload.name.clone(),
                reason: "it hangs; a restart is relief, the deadlock stays in the program".to_owned(),
            })
            .long_term("take a dump of the threads before it is restarted, and give it a liveness probe that goes through its work")
            .done(),
    )
}

/// How long a log that came steadily has been silent, in seconds.
fn silence(log: &LogRecord) -> Option<i64> {
    let times: Vec<_> = log.lines.iter().rev().take(60).filter_map(|line| line.at).collect();
    if times.len() < STEADY_LINES {
        return None;
    }
    let gaps = times.windows(2).filter_map(|pair| match pair {
        [later, earlier] => Some(later.duration_since(*earlier).as_secs()),
        _ => None,
    });
    let longest = gaps.max()?.max(1);
    let span = times.first()?.duration_since(*times.last()?).as_secs();
    let silent = log.read_at.duration_since(*times.first()?).as_secs();
    (span >= LEAST_SILENCE_SECS / 2 && silent >= LEAST_SILENCE_SECS && silent >= longest.saturating_mul(5))
        .then_some(silent)
}

/// Who calls this workload's Service and waits in vain.
fn caller<'v, 'a>(view: &'v View<'a>, server: &Workload<'_>) -> Option<(&'v Workload<'a>, &'v str)> {
    view.facts
        .workloads
        .iter()
        .filter(|caller| caller.name != server.name)
        .find_map(|caller| {
            view.logs
                .of(&caller.name)
                .filter(|(at, group, _)| {
                    group.signature == Signature::TimedOut && super::signatures::counts(view, caller, *at, group)
                })
                .find(|(_, group, _)| match graph::called(view.facts.case, caller, group) {
                    Some(Destination::Service(service)) => {
                        let edges = view.graph.edges(&service);
                        edges.iter().any(|edge| edge.to == server.name)
                    }
                    _ => false,
                })
                .map(|(_, _, evidence)| (caller, evidence))
        })
}
