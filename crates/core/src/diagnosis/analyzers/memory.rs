//! Containers killed for memory: by their own limit, through growth, or through a revision that lowered the limit.
//!
//! Evidence: `OOMKilled` in the container's status, or an OOM event; never exit code 137 alone, which liveness kills and evictions
//! share. Growth: what a Prometheus measured over the last hour, where one is asked (`trend`); numbers that the program prints, usage
//! beside the limit, several kills in a row. Looks alike: a program that ends itself for want of heap (`signatures`).

mod measured;

use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, ContainerStatus};

use super::{KnownCause, View, claim, known};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs;
use crate::diagnosis::quantity;
use crate::diagnosis::remedy::{ContainerRef, Remedy};

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "OutOfMemory",
    "A container is killed for memory.",
    "Reason OOMKilled or an OOM event; growth as measured over an hour beside restarts, load and revisions, or in its log.",
    "Exit code 137 of a liveness kill, an eviction or a node that shuts down; a heap that ends (the program's own error).",
)];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .workloads
        .iter()
        .filter_map(|workload| killed(view, workload))
        .collect()
}

/// The kill for memory that counts: a recent one, of the container that is started again most often.
pub(super) fn kill<'w>(
    view: &View<'_>,
    workload: &'w Workload<'_>,
) -> Option<(&'w PodFacts<'w>, &'w ContainerStatus, &'w ContainerStateTerminated)> {
    let now = view.facts.case.now();
    workload
        .pods
        .iter()
        .flat_map(|pod| pod.statuses().map(move |(status, _)| (pod, status)))
        .filter_map(|(pod, status)| {
            let end = [&status.state, &status.last_state]
                .into_iter()
                .filter_map(|state| state.as_ref()?.terminated.as_ref())
                .find(|end| end.reason.as_deref() == Some("OOMKilled"))?;
            let recent = super::pods::is_recent(pod, end.finished_at.as_ref().map(|time| time.0), now);
            recent.then_some((pod, status, end))
        })
        .max_by_key(|(_, status, _)| status.restart_count)
}

fn killed(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let (pod, status, end) = kill(view, workload)?;
    let container = workload.container(&status.name);
    let limit = container.and_then(|c| limit_of(c, "memory"));
    let event = view
        .facts
        .events(pod.name)
        .iter()
        .copied()
        .find(|event| event.reason == "OOMKilling" || event.message.contains("OOM"));
    let (growth, growth_evidence) = growth(view, pod, &status.name);
    let trend = measured::of(view, workload, &status.name, limit.and_then(quantity::bytes))
        // A log that tells of growth and measurements that show none: neither is believed more.
        .filter(|trend| growth.is_none() || trend.without_end());
    let lasted = end
        .started_at
        .as_ref()
        .zip(end.finished_at.as_ref())
        .map(|(start, stop)| stop.0.duration_since(start.0).as_secs());
    let agreeing = u8::from(status.restart_count > 1)
        + u8::from(growth.is_some() || trend.is_some())
        + u8::from(event.is_some() || limit.is_some());
    let grows = growth.map_or(String::new(), |(first, last)| {
        format!("; its memory grows from {first} to {last} MiB in its log")
    });
    let runs = lasted.map_or(String::new(), |seconds| format!(", the last time after {seconds} s"));
    let memory = limit.map_or_else(
        || "its node's memory (it has no limit)".to_owned(),
        |limit| format!("its memory limit of {limit}"),
    );
    let kind = match (&trend, growth, lasted) {
        (Some(trend), _, _) => trend.words(),
        (None, Some(_), _) => "; it grows with time: a leak, or load that is kept in memory".to_owned(),
        (None, None, Some(seconds)) if seconds <= 10 && status.restart_count > 1 => {
            "; it reaches the limit at its start each time: the limit is too small for it".to_owned()
        }
        _ => String::new(),
    };
    let raised = limit
        .and_then(quantity::bytes)
        .map(|bytes| quantity::show_bytes(bytes.saturating_mul(2)));
    let raise = relieved(
        growth.is_some() || trend.as_ref().is_some_and(measured::Trend::without_end),
        Remedy::Resources {
            container: ContainerRef {
                workload: workload.name.clone(),
                container: status.name.clone(),
            },
            field: "limits.memory".to_owned(),
            from: limit.map(ToOwned::to_owned),
            to: raised,
        },
    );
    // The revision that does not grow is the repair; more memory only gives it time.
    let ways = match trend.as_ref().and_then(|trend| trend.back(workload)) {
        Some(back) => back.or(Some(raise)),
        None => raise,
    };
    Some(
        claim("OutOfMemory", &workload.name, Depth::Fault, Basis::Stated, agreeing)
            .says(format!(
                "container {} of {} is OOMKilled (out of memory): it exceeds {memory}; {} restarts{runs}{grows}{kind}",
                status.name, workload.name, status.restart_count
            ))
            .cites(
                [pod.evidence, workload.evidence]
                    .into_iter()
                    .chain(growth_evidence)
                    .chain(trend.iter().flat_map(|trend| trend.evidence.iter().copied()))
                    .chain(event.map(|event| event.evidence.as_str())),
            )
            .since(
                trend
                    .as_ref()
                    .and_then(|trend| trend.since)
                    .or(end.finished_at.as_ref().map(|time| time.0)),
            )
            .remedy(ways)
            .long_term(
                "find what grows: memory that climbs until each kill is a leak, and a higher limit only delays it",
            )
            .done(),
    )
}

/// More memory repairs what needs it, and only delays what grows without end.
fn relieved(grows: bool, raise: Remedy) -> Remedy {
    if !grows {
        return raise;
    }
    Remedy::Relief {
        remedy: Box::new(raise),
        reason: "its memory grows without end, so a higher limit only delays the next kill; what holds the memory must be found in the program"
            .to_owned(),
    }
}

/// A container's limit, as written.
pub(super) fn limit_of<'c>(container: &'c Container, resource: &str) -> Option<&'c str> {
    Some(container.resources.as_ref()?.limits.as_ref()?.get(resource)?.0.as_str())
}

/// First and last of the numbers that a log gives for memory, where they climb.
fn growth<'v>(view: &'v View<'_>, pod: &'v PodFacts<'_>, container: &'v str) -> (Option<(u64, u64)>, Option<&'v str>) {
    for log in view.facts.logs(pod.name, container) {
        let series = logs::memory_series(log);
        let (Some(first), Some(last)) = (series.first().copied(), series.last().copied()) else {
            continue;
        };
        let rises = series
            .windows(2)
            .filter(|pair| matches!(pair, [a, b] if b >= a))
            .count();
        if series.len() >= 2 && last > first && rises * 10 >= (series.len() - 1) * 8 {
            return (Some((first, last)), Some(log.evidence.as_str()));
        }
    }
    (None, None)
}
