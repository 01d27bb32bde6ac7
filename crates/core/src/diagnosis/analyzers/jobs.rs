//! Jobs that failed or ran too long, CronJobs that are suspended or cannot start.
//!
//! Evidence: the Job's conditions. A failed Job is a symptom: what ended its pods is told by `signatures`, `dependencies` or `crash`.
//! Looks alike: a Job that failed once and whose CronJob has succeeded since.

use k8s_openapi::api::batch::v1::{CronJob, Job};

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::case_file::LogRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{Workload, controller};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::remedy::Remedy;
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "JobDeadlineExceeded",
        "A Job did not end in its time.",
        "Condition Failed with DeadlineExceeded.",
        "A Job that failed at its back-off limit.",
    ),
    known(
        "JobFailed",
        "A Job failed; its pods say why.",
        "Condition Failed.",
        "A Job whose CronJob has succeeded since.",
    ),
    known(
        "CronJobSuspended",
        "A CronJob is suspended.",
        "spec.suspend; the log of a program that is not ready and names it.",
        "A CronJob whose time has not come, or that nobody waits for.",
    ),
    known(
        "JobSuspended",
        "A Job is suspended.",
        "spec.suspend.",
        "A Job whose pods cannot be scheduled.",
    ),
    known(
        "CronJobOverlaps",
        "A CronJob with concurrencyPolicy Forbid or Replace does not get to run, because its last run does not end.",
        "The CronJob's active Jobs and their age beside its schedule, events.",
        "A run that merely takes its time.",
    ),
    known(
        "CronJobPilesUp",
        "Runs of a CronJob do not end before the next begins, and pile up.",
        "Three or more active Jobs of one CronJob.",
        "A Job with much parallelism.",
    ),
    known(
        "CronJobMissesStart",
        "A CronJob's starts are missed.",
        "Events of the CronJob, its startingDeadlineSeconds.",
        "A CronJob whose time has not come.",
    ),
    known(
        "CronJobBadSchedule",
        "A CronJob's schedule or time zone cannot be read.",
        "Events of the CronJob.",
        "A schedule that comes rarely.",
    ),
];

/// A workload that is not ready and whose last lines name that CronJob: as a whole word, and one that is no word of every day.
fn waits_for<'v>(view: &'v View<'_>, cron: &str) -> Option<(&'v Workload<'v>, &'v str)> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    view.facts
        .workloads
        .iter()
        .filter(|workload| workload.is_service())
        .find_map(|workload| {
            let pods = workload.pods.iter().filter(|pod| !pod.is_ready() && !pod.is_over());
            let logs = pods.flat_map(|pod| view.facts.case.logs().iter().filter(move |log| log.pod == *pod.name));
            let named = |log: &&LogRecord| {
                log.lines.iter().rev().take(40).any(|line| {
                    let lower = line.text.to_ascii_lowercase();
                    line.text.split(|c| !part(c)).any(|word| word == cron)
                        && (cron.contains('-') || lower.contains("job"))
                })
            };
            logs.into_iter()
                .find(named)
                .map(|log| (workload, log.evidence.as_str()))
        })
}

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for (name, job, evidence) in view.facts.case.all::<Job>() {
        let failed = job
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref())
            .into_iter()
            .flatten()
            .find(|c| c.type_ == "Failed" && c.status == "True");
        let Some(failed) = failed else { continue };
        let owner = controller(&job.metadata, name);
        let since = failed.last_transition_time.as_ref().map(|time| time.0);
        if let Some(cron) = owner
            .as_ref()
            .and_then(|owner| view.facts.case.get::<CronJob>(&owner.name))
        {
            let succeeded = cron
                .status
                .as_ref()
                .and_then(|status| status.last_successful_time.as_ref())
                .map(|time| time.0);
            if succeeded.zip(since).is_some_and(|(good, bad)| good > bad) {
                continue;
            }
        }
        let object = owner.unwrap_or_else(|| name.clone());
        if found
            .iter()
            .any(|known| known.object == object && known.category.starts_with("Job"))
        {
            continue;
        }
        let reason = failed.reason.as_deref().unwrap_or_default();
        let message = clip(failed.message.as_deref().unwrap_or_default(), 200);
        let base = if reason == "DeadlineExceeded" {
            claim("JobDeadlineExceeded", &object, Depth::Mechanism, Basis::Stated, 0)
                .says(format!(
                    "{name} did not end within its activeDeadlineSeconds: {message}"
                ))
                .manual("find out what it waits for, or give it more time")
        } else {
            claim("JobFailed", &object, Depth::Symptom, Basis::Stated, 2)
                .says(format!("{name} failed: {reason} ({message})"))
        };
        found.push(base.cites([evidence]).since(since).done());
    }
    for (name, job, evidence) in view.facts.case.all::<Job>() {
        let suspended = job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
        if suspended && view.facts.case.target() == Some(name) {
            found.push(
                claim("JobSuspended", name, Depth::Fault, Basis::Stated, 1)
                    .says(format!("{name} is suspended, so it starts no pod"))
                    .cites([evidence])
                    .manual(format!("set spec.suspend of {name} to false, if it should run"))
                    .done(),
            );
        }
    }
    for (name, cron, evidence) in view.facts.case.all::<CronJob>() {
        let suspended = cron.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
        if suspended && let Some((waiting, log)) = waits_for(view, &name.name) {
            found.push(
                claim("CronJobSuspended", name, Depth::Fault, Basis::Stated, 1)
                    .says(format!(
                        "{name} is suspended, so no Job is started; {} is not ready, and its log says that it needs it",
                        waiting.name
                    ))
                    .cites([evidence, log, waiting.evidence])
                    .affects([waiting.name.clone()])
                    .remedy(Remedy::ResumeCronJob { cron_job: name.clone() })
                    .done(),
            );
        } else if suspended && view.facts.case.target() == Some(name) {
            found.push(
                claim("CronJobSuspended", name, Depth::Fault, Basis::Stated, 1)
                    .says(format!("{name} is suspended, so no Job is started"))
                    .cites([evidence])
                    .remedy(Remedy::ResumeCronJob { cron_job: name.clone() })
                    .done(),
            );
        }
    }
    for (name, cron, evidence) in view.facts.case.all::<CronJob>() {
        found.extend(schedule(view, name, cron, evidence));
    }
    found
}

/// A CronJob that does not run as its schedule says.
fn schedule(view: &View<'_>, name: &ObjectName, cron: &CronJob, evidence: &str) -> Option<Finding> {
    let spec = cron.spec.as_ref()?;
    let now = view.facts.case.now();
    let event = |reasons: &[&str]| {
        view.facts
            .events(name)
            .iter()
            .copied()
            .find(|event| reasons.contains(&event.reason.as_str()))
    };
    if let Some(event) = event(&[
        "UnparseableSchedule",
        "InvalidSchedule",
        "UnknownTimeZone",
        "UnparsableSchedule",
    ]) {
        return Some(
            claim("CronJobBadSchedule", name, Depth::Fault, Basis::Stated, 1)
                .says(format!(
                    "the schedule of {name} ({}{}) cannot be read: {}",
                    spec.schedule,
                    spec.time_zone
                        .as_deref()
                        .map_or(String::new(), |zone| format!(", time zone {zone}")),
                    clip(&event.message, 200)
                ))
                .cites([evidence, event.evidence.as_str()])
                .since(event.first)
                .manual(format!("correct spec.schedule or spec.timeZone of {name}"))
                .done(),
        );
    }
    let active = cron
        .status
        .as_ref()
        .and_then(|status| status.active.as_deref())
        .unwrap_or_default();
    let oldest = active
        .iter()
        .filter_map(|reference| reference.name.as_deref())
        .filter_map(|job| view.facts.case.get::<Job>(job))
        .filter_map(|job| job.status.as_ref()?.start_time.as_ref().map(|time| time.0))
        .min();
    let policy = spec.concurrency_policy.as_deref().unwrap_or("Allow");
    let ages = oldest.map_or(String::new(), |at| {
        format!(", the oldest began {}", super::changes::ago(now, at))
    });
    if policy == "Allow" && active.len() >= 3 {
        return Some(
            claim("CronJobPilesUp", name, Depth::Fault, Basis::Stated, 1)
                .says(format!(
                    "{} runs of {name} are active at once{ages}: each begins before the last has ended (schedule {}, concurrencyPolicy Allow), and they compete with one another",
                    active.len(),
                    spec.schedule
                ))
                .cites([evidence])
                .since(oldest)
                .remedy(Remedy::SuspendCronJob { cron_job: name.clone() })
                .long_term(format!("set concurrencyPolicy of {name} to Forbid and an activeDeadlineSeconds, and find out why its runs do not end"))
                .done(),
        );
    }
    let held = event(&["JobAlreadyActive"]);
    if policy == "Forbid" && !active.is_empty() && held.is_some() {
        return Some(
            claim("CronJobOverlaps", name, Depth::Mechanism, Basis::Stated, 1)
                .says(format!(
                    "{name} does not start its next run, because one is still active{ages} (concurrencyPolicy Forbid)"
                ))
                .cites([evidence].into_iter().chain(held.map(|event| event.evidence.as_str())))
                .since(held.and_then(|event| event.first))
                .manual(format!(
                    "find out why the active run of {name} does not end; set activeDeadlineSeconds in its jobTemplate"
                ))
                .done(),
        );
    }
    let missed = event(&["MissSchedule", "TooManyMissedTimes", "FailedNeedsStart"])?;
    Some(
        claim(
            "CronJobMissesStart",
            name,
            Depth::Fault,
            Basis::Stated,
            u8::from(missed.count > 1),
        )
        .says(format!(
            "{name} misses its starts (schedule {}{}): {}",
            spec.schedule,
            spec.starting_deadline_seconds
                .map_or(String::new(), |seconds| format!(", startingDeadlineSeconds {seconds}")),
            clip(&missed.message, 200)
        ))
        .cites([evidence, missed.evidence.as_str()])
        .since(missed.first)
        .manual(format!(
            "set startingDeadlineSeconds of {name} well above 10 s, so that starts which came late still count"
        ))
        .done(),
    )
}
