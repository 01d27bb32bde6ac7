//! What a Prometheus measured of a container's memory, put beside its restarts, its load and its revisions, in words and ways out.
//!
//! Must never claim a kill: that is the status' to say. Called by `memory`, where a container was killed.

use k8s_openapi::jiff::Timestamp;

use crate::diagnosis::analyzers::{View, rollout};
use crate::diagnosis::facts::Workload;
use crate::diagnosis::quantity::show_bytes;
use crate::diagnosis::remedy::Remedy;
use crate::diagnosis::trend::{self, Began, Beside, Growth};
use crate::metrics::Metric;
use crate::metrics::answer::Series;
use crate::text::clip;

/// What the measurements of one container show.
pub(super) struct Trend<'v> {
    /// In one word.
    pub growth: Growth,
    /// What shows it.
    pub evidence: Vec<&'v str>,
    /// Since when it is known to go on, where that is before the present revision.
    pub since: Option<Timestamp>,
}

/// Judges one container of a workload.
pub(super) fn of<'v>(
    view: &'v View<'_>,
    workload: &Workload<'_>,
    container: &str,
    limit: Option<u64>,
) -> Option<Trend<'v>> {
    let case = view.facts.case;
    let memory = case.measured(&workload.name, Metric::Memory)?;
    let mut evidence = vec![memory.evidence.as_str()];
    let of_container =
        |all: &[Series]| -> Vec<Series> { all.iter().filter(|one| one.container == container).cloned().collect() };
    let restarts = case.measured(&workload.name, Metric::Restarts);
    let restarts = restarts.map(|one| (of_container(&one.series), one.evidence.as_str()));
    // Requests are the load itself; processor time stands for it where nothing counts them.
    let requests = case
        .measured(&workload.name, Metric::Requests)
        .filter(|one| !one.series.is_empty());
    let load = match requests {
        Some(requests) => Some((requests.series.clone(), requests.evidence.as_str())),
        None => case
            .measured(&workload.name, Metric::Cpu)
            .map(|cpu| (of_container(&cpu.series), cpu.evidence.as_str())),
    };
    for (series, id) in [&restarts, &load].into_iter().flatten() {
        if !series.is_empty() {
            evidence.push(id);
        }
    }
    let none: &[Series] = &[];
    #[expect(clippy::cast_precision_loss, reason = "bytes of a machine's memory")]
    let beside = Beside {
        restarts: restarts.as_ref().map_or(none, |(series, _)| series),
        load: load.as_ref().map_or(none, |(series, _)| series),
        limit: limit.map(|bytes| bytes as f64),
    };
    let measured = of_container(&memory.series);
    let growth = trend::judge(&measured, &beside, |pod| revision_of(workload, pod))?;
    let earlier = matches!(
        growth,
        Growth::Leak {
            began: Began::Before,
            ..
        } | Growth::Climbs {
            began: Began::Before,
            ..
        }
    );
    let first = measured
        .iter()
        .filter_map(|one| one.points.first())
        .map(|(at, _)| *at)
        .min_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, reason = "a float that is no time becomes none")]
    let first = first.and_then(|at| Timestamp::from_second(at as i64).ok());
    Some(Trend {
        growth,
        evidence,
        since: first.filter(|_| earlier),
    })
}

/// The revision of a pod, of one that is gone too: a Deployment's pod carries its ReplicaSet's name. The pods of a StatefulSet keep
/// their names from revision to revision, so theirs tell nothing.
fn revision_of(workload: &Workload<'_>, pod: &str) -> Option<i64> {
    match workload.name.kind.as_str() {
        "Deployment" => {
            let (set, _) = pod.rsplit_once('-')?;
            let revision = workload.revisions.iter().find(|revision| revision.name.name == set)?;
            Some(revision.number)
        }
        "DaemonSet" => {
            let hash = workload.pods.iter().find(|one| one.name.name == pod)?.revision_hash?;
            let revision = workload
                .revisions
                .iter()
                .find(|revision| revision.name.name.ends_with(hash))?;
            Some(revision.number)
        }
        _ => None,
    }
}

impl Trend<'_> {
    /// As the end of a sentence about the kill.
    pub(super) fn words(&self) -> String {
        let pace = |per_hour: f64| format!("{} an hour", show_bytes(whole(per_hour)));
        let each = |runs: usize| {
            if runs > 1 {
                format!("in each of {runs} runs")
            } else {
                "in its run".to_owned()
            }
        };
        match &self.growth {
            Growth::Leak {
                per_hour,
                runs,
                began,
                steady,
            } => {
                let load = if *steady { " while its load does not climb" } else { "" };
                let began = match began {
                    Began::With { revision, before } => {
                        format!("; it began with revision {revision}, and revision {before} was level")
                    }
                    Began::Before => "; the revision before climbed as well".to_owned(),
                    Began::Unknown => String::new(),
                };
                format!(
                    "; measured, its memory climbs by {} {}{load}{began}: a leak, or a cache without a bound",
                    pace(*per_hour),
                    each(*runs)
                )
            }
            Growth::Load { correlation } => format!(
                "; measured, its memory rises and falls with its load (correlation {correlation:.2}): it needs more for that load, and this is no leak"
            ),
            Growth::NeedsMore { level } => format!(
                "; measured, its memory stands level at {} before the kill: the limit is too small for what it needs",
                show_bytes(whole(*level))
            ),
            Growth::Climbs { per_hour, runs, .. } => format!(
                "; measured, its memory climbs by {} {}: a leak, or load that is kept in memory",
                pace(*per_hour),
                each(*runs)
            ),
        }
    }

    /// Whether more memory only delays the next kill.
    pub(super) fn without_end(&self) -> bool {
        matches!(self.growth, Growth::Leak { .. } | Growth::Climbs { .. })
    }

    /// The way back, where the growth is seen to have begun with the present revision.
    pub(super) fn back(&self, workload: &Workload<'_>) -> Option<Remedy> {
        let Growth::Leak {
            began: Began::With { revision, before },
            ..
        } = &self.growth
        else {
            return None;
        };
        let (now, earlier) = workload.last_two()?;
        if (now.number, earlier.number) != (*revision, *before) {
            return None;
        }
        let changes = rollout::diff(&earlier.template, &now.template);
        Some(Remedy::BadRevision {
            workload: workload.name.clone(),
            from_revision: *revision,
            to_revision: *before,
            diff: clip(&changes.join("\n"), 6000),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float's cast saturates, and less than nothing is nothing"
)]
fn whole(bytes: f64) -> u64 {
    bytes.round() as u64
}
