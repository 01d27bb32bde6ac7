//! Whether a repair helped, judged on fresh evidence, and whether a rollback took everything back. Pure: the loop asks again on newer
//! evidence until every check holds or its time is over. What could not be read never passes. Called by the loop's verification.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use strum::IntoEnumIterator;

use super::action::Action;
use super::standing::Standing;
use super::{effects, objects};
use crate::api::ObjectName;
use crate::api::status::{Check, PlanStatus, Verification};
use crate::diagnosis::objects::kind_of;
use crate::diagnosis::{CaseFile, Depth, Diagnosis, Finding};
use crate::sandbox::command::Resource;
use crate::text::clip;

/// How long a container that never restarted must have run.
const STILL_SECONDS: i64 = 8;
/// How long one that restarted before must have run: a crash loop looks healthy for a while.
const STILL_AFTER_RESTART_SECONDS: i64 = 30;
/// More checks than this are not recorded.
const MAX_CHECKS: usize = 16;

/// Whether the repair helped. `before` is the diagnosis that the plan rests on, `fresh` the one of the new evidence in `case`.
pub fn judge(before: &Diagnosis, fresh: &Diagnosis, case: &CaseFile, plan: Option<&PlanStatus>) -> Verification {
    let mut checks = vec![cause_gone(before, fresh, case), nothing_new(before, fresh)];
    checks.extend(in_place(plan, case));
    let workloads = workloads(before, case, plan);
    if case.entries().next().is_none() {
        checks.push(check("fresh evidence", false, "nothing could be read".to_owned()));
    }
    for name in &workloads {
        checks.push(rolled_out(name, case));
        checks.push(pods_still(name, case));
    }
    // What fails is told first, should there be too many.
    checks.sort_by_key(|check| check.passed);
    let passed = checks.iter().all(|check| check.passed);
    checks.truncate(MAX_CHECKS);
    checks.reverse();
    Verification {
        passed,
        rolled_back: None,
        checks,
    }
}

/// Whether every object of the plan that can be taken back is as it was before.
pub fn is_taken_back(plan: Option<&PlanStatus>, case: &CaseFile) -> bool {
    let Some(plan) = plan else { return false };
    plan.actions.iter().all(|planned| match Action::try_from(planned) {
        Ok(action) if action.inverse().is_some() => standing(&action, case) == Some(Standing::AtFrom),
        Ok(_) => true,
        Err(_) => false,
    })
}

/// How an action's target stands in the case file; none: it was not seen.
pub fn standing(action: &Action, case: &CaseFile) -> Option<Standing> {
    let target = action.target();
    let name = ObjectName {
        kind: target.kind.clone(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
    };
    let entry = case.entry(&name)?;
    Some(action.standing(&objects::json(&entry.object), objects::revision(case, entry)))
}

fn check(name: impl Into<String>, passed: bool, observed: impl Into<String>) -> Check {
    let observed: String = observed.into();
    Check {
        name: clip(&name.into(), 128),
        passed,
        observed: clip(&observed, 1024),
    }
}

fn is_same(a: &Finding, b: &Finding) -> bool {
    a.category == b.category && a.object == b.object
}

/// The analyzer that found the cause no longer does, on evidence that would have shown it: an analyzer that sees nothing is no proof.
fn cause_gone(before: &Diagnosis, fresh: &Diagnosis, case: &CaseFile) -> Check {
    let Some(cause) = before.root_cause.as_ref().map(|root| &root.finding) else {
        return check("the cause is gone", false, "no cause was known".to_owned());
    };
    match fresh.findings.iter().find(|finding| is_same(finding, cause)) {
        Some(still) => check("the cause is gone", false, format!("still found: {}", still.summary)),
        None if !is_seen(&cause.object, case) => check(
            "the cause is gone",
            false,
            format!("{} could not be looked at again", cause.object),
        ),
        None => check(
            "the cause is gone",
            true,
            format!("{} is no longer found for {}", cause.category, cause.object),
        ),
    }
}

/// Whether the fresh evidence tells of an object: it is there, or a complete list shows that it is not.
fn is_seen(name: &ObjectName, case: &CaseFile) -> bool {
    case.entry(name).is_some()
        || Resource::iter()
            .filter(|resource| kind_of(*resource) == name.kind)
            .any(|resource| case.complete_list(resource).is_some())
        // What lies beyond the incident's namespace is named, not read.
        || name.namespace.as_deref().is_some_and(|namespace| namespace != case.namespace())
}

fn nothing_new(before: &Diagnosis, fresh: &Diagnosis) -> Check {
    let known = |finding: &Finding| before.findings.iter().any(|old| is_same(old, finding));
    let new = fresh
        .root_cause
        .as_ref()
        .map(|root| &root.finding)
        .filter(|finding| finding.depth == Depth::Fault && !known(finding));
    match new {
        Some(finding) => check("nothing new is broken", false, finding.summary.clone()),
        None => check(
            "nothing new is broken",
            true,
            "no fault that was not there before".to_owned(),
        ),
    }
}

/// Whether each change is still there (something else may have reverted it), and whether what it was for has come about.
fn in_place(plan: Option<&PlanStatus>, case: &CaseFile) -> Vec<Check> {
    let mut checks = Vec::new();
    for planned in plan.iter().flat_map(|plan| &plan.actions) {
        let Ok(action) = Action::try_from(planned) else {
            continue;
        };
        if let Some(stands) = standing(&action, case) {
            checks.push(check(
                format!("{} is in place", planned.id),
                stands == Standing::AtTo,
                format!("{}: {stands}", action.summary()),
            ));
        }
        if let Some((passed, observed)) = effects::effect(&action, case) {
            checks.push(check(format!("{} has its effect", planned.id), passed, observed));
        }
    }
    checks
}

/// The workloads that must be well: the target, what was changed, and every one that was found in trouble.
fn workloads(before: &Diagnosis, case: &CaseFile, plan: Option<&PlanStatus>) -> BTreeSet<ObjectName> {
    let changed = plan.iter().flat_map(|plan| &plan.actions).map(|action| ObjectName {
        kind: action.target.kind.clone(),
        namespace: action.target.namespace.clone(),
        name: action.target.name.clone(),
    });
    let found = before.findings.iter().map(|finding| finding.object.clone());
    case.target()
        .cloned()
        .into_iter()
        .chain(changed)
        .chain(found)
        .filter(|name| ["Deployment", "StatefulSet", "DaemonSet"].contains(&name.kind.as_str()))
        .filter(|name| name.namespace.as_deref() == Some(case.namespace()))
        .collect()
}

fn rolled_out(name: &ObjectName, case: &CaseFile) -> Check {
    let label = format!("{name} is rolled out");
    // (generation, observed generation, wanted, updated, available)
    let counts = match name.kind.as_str() {
        "Deployment" => case.get::<Deployment>(&name.name).map(|object| {
            let status = object.status.clone().unwrap_or_default();
            let wanted = object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            let seen = status.observed_generation;
            // Old pods that are still there count: the rollout is not over.
            let old = status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
            (
                object.metadata.generation,
                seen,
                wanted,
                status.updated_replicas.unwrap_or(0) - old,
                status.available_replicas.unwrap_or(0),
            )
        }),
        "StatefulSet" => case.get::<StatefulSet>(&name.name).map(|object| {
            let status = object.status.clone().unwrap_or_default();
            let wanted = object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            // `updatedReplicas` is 0 where nothing is being updated.
            let current = status.current_revision == status.update_revision;
            let updated = if current {
                status.replicas
            } else {
                status.updated_replicas.unwrap_or(0)
            };
            (
                object.metadata.generation,
                status.observed_generation,
                wanted,
                updated,
                status.available_replicas.unwrap_or(0),
            )
        }),
        _ => case.get::<DaemonSet>(&name.name).map(|object| {
            let status = object.status.clone().unwrap_or_default();
            (
                object.metadata.generation,
                status.observed_generation,
                status.desired_number_scheduled,
                status.updated_number_scheduled.unwrap_or(0),
                status.number_available.unwrap_or(0),
            )
        }),
    };
    match counts {
        None => check(label, false, "it could not be read".to_owned()),
        Some((generation, observed, wanted, updated, available)) => {
            let seen = generation.is_none() || observed >= generation;
            check(
                label,
                seen && updated == wanted && available >= wanted,
                format!("{available} of {wanted} available, {updated} of them new"),
            )
        }
    }
}

fn pods_still(name: &ObjectName, case: &CaseFile) -> Check {
    let label = format!("pods of {name} are ready and still");
    let pods: Vec<&Pod> = case
        .all::<Pod>()
        .map(|(_, pod, _)| pod)
        .filter(|pod| objects::belongs(pod, name) && pod.metadata.deletion_timestamp.is_none())
        .collect();
    let mut restarts = 0;
    for pod in &pods {
        let who = pod.metadata.name.as_deref().unwrap_or_default();
        let statuses: Vec<&ContainerStatus> = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten())
            .collect();
        if statuses.is_empty() {
            return check(label, false, format!("{who} has not started"));
        }
        for status in statuses {
            restarts += status.restart_count;
            if let Some(trouble) = trouble(status, case.now()) {
                return check(label, false, format!("{who}, {}: {trouble}", status.name));
            }
        }
    }
    check(
        label,
        true,
        format!("{} pod(s), {restarts} restart(s), none lately", pods.len()),
    )
}

/// What keeps a container from being ready and still.
fn trouble(status: &ContainerStatus, now: Timestamp) -> Option<String> {
    let state = status.state.as_ref();
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        return Some(format!("waits ({})", waiting.reason.as_deref().unwrap_or("?")));
    }
    let Some(running) = state.and_then(|state| state.running.as_ref()) else {
        return Some("does not run".to_owned());
    };
    if !status.ready {
        return Some("is not ready".to_owned());
    }
    let needed = if status.restart_count > 0 {
        STILL_AFTER_RESTART_SECONDS
    } else {
        STILL_SECONDS
    };
    let for_seconds = running
        .started_at
        .as_ref()
        .map_or(0, |at| now.as_second().saturating_sub(at.0.as_second()));
    (for_seconds < needed).then(|| format!("has run for {for_seconds} s only"))
}
