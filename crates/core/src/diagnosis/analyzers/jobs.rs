//! Jobs that failed or ran too long, CronJobs that are suspended or cannot start.
//!
//! Evidence: the Job's conditions. A failed Job is a symptom: what ended its pods is told by `signatures`, `dependencies` or `crash`.
//! Looks alike: a Job that failed once and whose CronJob has succeeded since.

use k8s_openapi::api::batch::v1::{CronJob, Job};

use super::{KnownCause, View, claim, known};
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
    found
}
