//! A table or column that is missing, and the Job that should have made it and failed.
//!
//! Evidence: the program's log, the Job's condition, its name, image or command, which speak of migrating a schema. Looks alike: a Job of
//! another purpose that failed, and a migration that has succeeded since.

use k8s_openapi::api::batch::v1::Job;

use super::{KnownCause, View, claim, known, merge};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{Group, Signature};
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "MigrationJobFailed",
    "The Job that should change a database's schema failed, and programs miss what it should have made.",
    "The Job's condition, its name, image or command; the log of the program that misses a table or column.",
    "A Job of another purpose that failed; a migration that succeeded since.",
)];

/// Words by which a Job shows that it changes schemas.
const WORDS: [&str; 9] = [
    "migrat",
    "schema",
    "flyway",
    "liquibase",
    "alembic",
    "dbmate",
    "init-db",
    "db-init",
    "initdb",
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for workload in &view.facts.workloads {
        for (at, group, evidence) in view.logs.of(&workload.name) {
            if super::signatures::counts(view, workload, at, group)
                && let Some(finding) = blamed(view, workload, group, evidence)
            {
                merge(&mut found, finding);
            }
        }
    }
    found
}

/// Whether a failed Job is why that group's program lacks what it asks for.
pub(super) fn explains(view: &View<'_>, workload: &Workload<'_>, group: &Group, evidence: &str) -> bool {
    blamed(view, workload, group, evidence).is_some()
}

fn blamed(view: &View<'_>, workload: &Workload<'_>, group: &Group, evidence: &str) -> Option<Finding> {
    if group.signature != Signature::SchemaMissing {
        return None;
    }
    let (job, reason, since, shown) = failed(view)?;
    if job == workload.name {
        return None;
    }
    let lacks = if group.subject.is_empty() {
        String::new()
    } else {
        format!(" {}", group.subject)
    };
    let said = view.logs.positions(&job).iter().find_map(|at| {
        let log = view.facts.case.logs().get(*at)?;
        let line = log.lines.iter().rev().find(|line| !line.text.trim().is_empty())?;
        Some((clip(line.text.trim(), 160), log.evidence.as_str()))
    });
    let words = said
        .as_ref()
        .map_or(String::new(), |(text, _)| format!("; its last words: \"{text}\""));
    Some(
        claim(
            "MigrationJobFailed",
            &job,
            Depth::Fault,
            Basis::Stated,
            1 + u8::from(group.count > 2) + u8::from(said.is_some()),
        )
        .says(format!(
            "{job} failed ({reason}), so the schema lacks{lacks}, which {} asks for (\"{}\"){words}",
            workload.name,
            clip(&group.sample, 160)
        ))
        .cites(
            [evidence, shown, workload.evidence]
                .into_iter()
                .chain(said.iter().map(|(_, id)| *id)),
        )
        .affects([workload.name.clone()])
        .since(since)
        .manual(format!("put right what {job} fails with, then run it again"))
        .done(),
    )
}

/// The migration that failed last, unless one has succeeded after it.
fn failed<'v>(view: &'v View<'_>) -> Option<(ObjectName, String, Option<k8s_openapi::jiff::Timestamp>, &'v str)> {
    let jobs: Vec<_> = view
        .facts
        .case
        .all::<Job>()
        .filter(|(name, job, _)| changes_schema(name, job))
        .collect();
    let condition = |job: &Job, kind: &str| {
        job.status
            .as_ref()
            .and_then(|status| status.conditions.as_ref())
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == kind && condition.status == "True")
            .cloned()
    };
    let (name, ended, evidence) = jobs
        .iter()
        .filter_map(|(name, job, evidence)| Some((*name, condition(job, "Failed")?, *evidence)))
        .max_by_key(|(_, ended, _)| ended.last_transition_time.as_ref().map(|time| time.0))?;
    let at = ended.last_transition_time.as_ref().map(|time| time.0);
    let made_good = jobs
        .iter()
        .filter_map(|(_, job, _)| condition(job, "Complete"))
        .any(|done| done.last_transition_time.as_ref().map(|time| time.0) > at);
    // Runs of a CronJob are the CronJob's.
    let object = view
        .facts
        .workload(name)
        .map_or_else(|| name.clone(), |workload| workload.name.clone());
    (!made_good).then(|| {
        (
            object,
            ended.reason.unwrap_or_else(|| "Failed".to_owned()),
            at,
            evidence,
        )
    })
}

/// Whether a Job's name, images or commands speak of migrating a schema.
pub(in crate::diagnosis) fn changes_schema(name: &ObjectName, job: &Job) -> bool {
    let speaks = |text: &str| {
        let text = text.to_ascii_lowercase();
        WORDS.iter().any(|word| text.contains(word))
    };
    let spec = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    speaks(&name.name)
        || spec.into_iter().flat_map(|spec| &spec.containers).any(|container| {
            speaks(&container.name)
                || container.image.as_deref().is_some_and(speaks)
                || container
                    .command
                    .iter()
                    .chain(&container.args)
                    .flatten()
                    .any(|word| speaks(word))
        })
}
