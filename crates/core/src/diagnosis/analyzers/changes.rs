//! What changed, when and by whom, put beside the trouble: configuration that was changed just before the trouble began, and rollouts
//! that do not end.
//!
//! Evidence: the time and the manager in an object's `managedFields`, the first time of the trouble. Looks alike: a change long before,
//! or after, the trouble; a change of what the workload does not read; a workload that is well; pods that have not read it yet.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::case_file::CaseFile;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment;
use crate::diagnosis::facts::{Workload, created};
use crate::diagnosis::finding::{Depth, Finding};
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "BadConfigChange",
        "A workload fails since a ConfigMap that it reads was changed.",
        "The change in the ConfigMap's managedFields, shortly before the trouble began.",
        "A change long before the trouble, or after it.",
    ),
    known(
        "ConfigMapChanged",
        "A ConfigMap of the workload changed shortly before its trouble; shown beside the cause.",
        "The change in the ConfigMap's managedFields.",
        "A change of what the workload does not read.",
    ),
    known(
        "ChangedByRollout",
        "What the code or settings of the last revision differ in from the one before; shown beside the cause.",
        "The ConfigMaps that both revisions mount or read.",
        "A revision of long before the trouble.",
    ),
    known(
        "RolloutStuck",
        "A rollout did not end within its deadline.",
        "Condition Progressing with ProgressDeadlineExceeded.",
        "A rollout that is merely slow, and one that is paused.",
    ),
];

/// A change this long before the trouble may have brought it.
const WINDOW: SignedDuration = SignedDuration::from_mins(30);
/// A change this soon before the trouble most likely has.
const SOON: SignedDuration = SignedDuration::from_mins(5);
/// What Kubernetes itself writes is no change by anybody.
const CONTROLLERS: [&str; 6] = [
    "kube-controller-manager",
    "kubelet",
    "kube-scheduler",
    "kube-apiserver",
    "cloud-controller-manager",
    "endpoint-controller",
];

/// The last change that somebody made to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// When.
    pub at: Timestamp,
    /// With what: `kubectl-edit`, `helm`, `argocd-controller`.
    pub manager: String,
    /// It was made then, and not changed since.
    pub creation: bool,
}

/// Who changed an object last, as far as its `managedFields` tell.
pub(crate) fn last_change(metadata: &ObjectMeta) -> Option<Change> {
    let made = created(metadata);
    let last = metadata
        .managed_fields
        .iter()
        .flatten()
        .filter(|entry| entry.subresource.as_deref() != Some("status"))
        .filter(|entry| {
            let manager = entry.manager.as_deref().unwrap_or_default();
            !manager.is_empty() && !CONTROLLERS.contains(&manager)
        })
        .filter_map(|entry| Some((entry.time.as_ref()?.0, entry.manager.clone()?)))
        .max()?;
    Some(Change {
        at: last.0,
        manager: clip(&last.1, 60),
        creation: made.is_some_and(|made| last.0.duration_since(made) <= SignedDuration::from_secs(2)),
    })
}

/// The same, of an object of the case file.
pub(crate) fn last_change_of(case: &CaseFile, name: &ObjectName) -> Option<Change> {
    last_change(case.entry(name)?.object.metadata()?)
}

/// How long ago, for people.
pub(crate) fn ago(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Claims of this domain that stand without others: rollouts.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .case
        .all::<Deployment>()
        .filter_map(|(name, deployment, evidence)| {
            let status = deployment.status.as_ref()?;
            let condition = status
                .conditions
                .iter()
                .flatten()
                .find(|condition| condition.type_ == "Progressing" && condition.status == "False")?;
            if condition.reason.as_deref() != Some("ProgressDeadlineExceeded") {
                return None;
            }
            let workload = view.facts.workload(name)?;
            let desired = workload.desired.unwrap_or(1);
            let updated = status.updated_replicas.unwrap_or(0);
            let serves = workload
                .last_two()
                .filter(|(_, before)| before.ready > 0)
                .map_or(String::new(), |(_, before)| {
                    format!("; revision {} still serves with {} pods", before.number, before.ready)
                });
            Some(
                claim("RolloutStuck", name, Depth::Symptom, Basis::Stated, 2)
                    .says(format!(
                        "the rollout of {name} did not end within its deadline: {updated} of {desired} pods are of the new revision, {} are available{serves}",
                        status.available_replicas.unwrap_or(0)
                    ))
                    .cites([evidence])
                    .since(condition.last_transition_time.as_ref().map(|time| time.0))
                    .done(),
            )
        })
        .collect()
}

/// ConfigMaps that a workload reads; `true` for those that it reads as files, which follow a change.
fn config_maps(view: &View<'_>, workload: &Workload<'_>) -> BTreeMap<ObjectName, bool> {
    let mut found = BTreeMap::new();
    let Some(spec) = workload.pod_spec() else {
        return found;
    };
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        let env = environment::of(view.facts.case, workload.namespace(), container);
        found.extend(env.config_maps.into_iter().map(|map| (map.name, false)));
    }
    for volume in spec.volumes.iter().flatten() {
        let sources = volume
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten());
        let whole = volume.config_map.iter().map(|map| map.name.as_str());
        let follows = !spec
            .containers
            .iter()
            .flat_map(|container| container.volume_mounts.iter().flatten())
            .any(|mount| mount.name == volume.name && mount.sub_path.is_some());
        for name in whole.chain(sources.filter_map(|source| source.config_map.as_ref().map(|map| map.name.as_str()))) {
            let name = ObjectName::namespaced("ConfigMap", workload.namespace(), name);
            *found.entry(name).or_default() |= follows;
        }
    }
    found
}

/// When the container that started last did: what was read at a start was read then.
fn started(workload: &Workload<'_>) -> Option<Timestamp> {
    workload
        .pods
        .iter()
        .filter(|pod| !pod.is_over())
        .flat_map(|pod| pod.statuses().map(|(status, _)| status))
        .filter_map(|status| {
            status
                .state
                .as_ref()?
                .running
                .as_ref()?
                .started_at
                .as_ref()
                .map(|time| time.0)
        })
        .max()
}

/// Configuration that changed around the trouble that other analyzers found.
pub(super) fn config(view: &View<'_>, findings: &[Finding]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut by_object: BTreeMap<&ObjectName, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_object.entry(&finding.object).or_default().push(finding);
    }
    for workload in &view.facts.workloads {
        let Some(own) = by_object.get(&workload.name) else {
            continue;
        };
        let Some(worst) = own.iter().max_by_key(|finding| (finding.depth, finding.confidence)) else {
            continue;
        };
        let began = own.iter().filter_map(|finding| finding.since).min();
        for (map, follows) in config_maps(view, workload) {
            let Some(entry) = view.facts.case.entry(&map) else {
                continue;
            };
            let Some(change) = last_change_of(view.facts.case, &map).filter(|change| !change.creation) else {
                continue;
            };
            // Running containers know nothing of a later change of what is read at the start alone.
            if !follows && started(workload).is_some_and(|started| started < change.at) {
                continue;
            }
            let when = ago(view.facts.case.now(), change.at);
            let Some(began) = began else { continue };
            let before = began.duration_since(change.at);
            if before < SignedDuration::from_secs(-5) || before > WINDOW {
                continue;
            }
            let text = format!(
                "{map} was changed {when} by {}, {} before the trouble of {} began",
                change.manager,
                short(before),
                workload.name
            );
            let generic = own.iter().all(|finding| {
                finding.depth == Depth::Symptom
                    || matches!(
                        finding.category.as_str(),
                        "UncaughtError"
                            | "RepeatedErrors"
                            | "EndsWithError"
                            | "ProbeNeverSucceeds"
                            | "InvalidSetting"
                            | "ConfigMapChanged"
                    )
            });
            let named = names_of(view, &map, own);
            // A call that fails to what the changed text names came with the change.
            let brought = named.is_some()
                && matches!(
                    worst.category.as_str(),
                    "DependencyFails"
                        | "ExternalDependencyFails"
                        | "DependencyUnreachable"
                        | "ConnectionPoolExhausted"
                        | "SlowRequests"
                );
            if generic || brought {
                let base = claim(
                    "BadConfigChange",
                    &map,
                    Depth::Fault,
                    Basis::Inferred,
                    u8::from(before <= SOON) + u8::from(named.is_some()),
                );
                found.push(
                    base.says(format!(
                        "{text}{}: {}",
                        named.map_or(String::new(), |key| format!("; the trouble names its key {key}")),
                        clip(&worst.summary, 300)
                    ))
                    .cites(
                        [entry.evidence.as_str(), workload.evidence]
                            .into_iter()
                            .chain(worst.evidence.iter().map(String::as_str)),
                    )
                    .affects([workload.name.clone()])
                    .since(Some(change.at))
                    .manual(format!(
                        "compare {map} with its form before {} ({}), and put back what does not fit; then restart {}",
                        change.at, change.manager, workload.name
                    ))
                    .done(),
                );
            } else {
                found.push(
                    claim("ConfigMapChanged", &workload.name, Depth::Mechanism, Basis::Inferred, 1)
                        .says(text)
                        .cites([entry.evidence.as_str(), workload.evidence])
                        .since(Some(change.at))
                        .done(),
                );
            }
        }
    }
    found
}

fn short(span: SignedDuration) -> String {
    match span.as_secs() {
        ..=0 => "at once".to_owned(),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

/// A key of the ConfigMap that a finding speaks of.
fn names_of(view: &View<'_>, map: &ObjectName, own: &[&Finding]) -> Option<String> {
    let data = view.facts.case.get::<ConfigMap>(&map.name)?.data.as_ref()?;
    data.iter()
        .filter(|(key, _)| key.len() >= 3)
        .find(|(key, value)| {
            let value = value.trim();
            own.iter().any(|finding| {
                finding.summary.contains(key.as_str())
                    || (value.len() >= 5 && !value.contains('\n') && finding.summary.contains(value))
            })
        })
        .map(|(key, _)| key.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]
    use super::*;

    fn metadata(entries: serde_json::Value) -> ObjectMeta {
        serde_json::from_value(serde_json::json!({
            "creationTimestamp": "2026-03-01T10:00:00Z", "managedFields": entries
        }))
        .unwrap()
    }

    #[test]
    fn the_last_change_is_told_with_its_maker() {
        let change = last_change(&metadata(serde_json::json!([
            {"manager": "helm", "operation": "Apply", "time": "2026-03-01T10:00:00Z"},
            {"manager": "kubectl-edit", "operation": "Update", "time": "2026-03-01T11:00:00Z"},
            {"manager": "kube-controller-manager", "operation": "Update", "time": "2026-03-01T11:30:00Z"},
            {"manager": "agent", "operation": "Update", "subresource": "status", "time": "2026-03-01T11:40:00Z"}
        ])))
        .unwrap();
        assert_eq!((change.manager.as_str(), change.creation), ("kubectl-edit", false));
    }

    #[test]
    fn what_was_only_made_was_not_changed() {
        let change = last_change(&metadata(serde_json::json!([
            {"manager": "helm", "operation": "Apply", "time": "2026-03-01T10:00:01Z"}
        ])));
        assert!(change.unwrap().creation);
        assert!(last_change(&metadata(serde_json::json!([]))).is_none());
    }

    #[test]
    fn time_is_told_in_one_number() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let before = |seconds| now - SignedDuration::from_secs(seconds);
        assert_eq!(ago(now, before(90)), "90 s ago");
        assert_eq!(ago(now, before(240)), "4 min ago");
        assert_eq!(ago(now, before(10_000)), "2 h ago");
        assert_eq!(ago(now, before(400_000)), "4 days ago");
    }
}
