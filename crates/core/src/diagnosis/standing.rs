//! How each workload stands, the worst first: what a person asks of a whole namespace or cluster before asking why.
//!
//! It reads statuses alone and must never name a cause: that is the diagnosis' work. Called by the plugin and by the report.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::case_file::CaseFile;
use super::facts::{Facts, PodFacts, Workload, ended, waiting};
use super::questions::in_trouble;
use crate::api::{ObjectName, Role};
use crate::incident::names::sha256;
use crate::sandbox::command::{Command, Resource, Scope};
use crate::sandbox::evidence::{Evidence, EvidenceState};

/// How bad it is. Ordered, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Nothing of it serves.
    Down,
    /// Some of it serves.
    Degraded,
    /// A pod of it fails or does not get ready, though it is not one that serves, or enough others do.
    Failing,
    /// All of it serves; containers of it were restarted.
    Restarted,
    /// Nothing to say.
    Well,
}

/// How one workload stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Which.
    pub workload: ObjectName,
    /// How bad.
    pub level: Level,
    /// Pods that serve.
    pub ready: usize,
    /// Pods that there should be.
    pub desired: usize,
    /// Restarts of all its containers.
    pub restarts: i32,
    /// What its pods say, in a few words: `CrashLoopBackOff`.
    pub says: String,
}

/// Every workload of the case, the worst first.
pub fn standings(case: &CaseFile) -> Vec<Standing> {
    let facts = Facts::new(case);
    let mut list: Vec<Standing> = facts.workloads.iter().map(of).collect();
    list.sort_by(|a, b| {
        (a.level, std::cmp::Reverse(a.restarts), &a.workload).cmp(&(
            b.level,
            std::cmp::Reverse(b.restarts),
            &b.workload,
        ))
    });
    list
}

/// The namespaces of a list of pods and what owns them (`kubectl get -A -o json`), the worst first. Only those with trouble.
pub fn survey(list: &str, now: Timestamp) -> Vec<(String, Vec<Standing>)> {
    let mut spaces: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let items = match serde_json::from_str::<Value>(list) {
        Ok(Value::Object(mut map)) => match map.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    for item in items {
        if let Some(namespace) = item.pointer("/metadata/namespace").and_then(Value::as_str) {
            spaces.entry(namespace.to_owned()).or_default().push(item);
        }
    }
    let mut found: Vec<(String, Vec<Standing>)> = spaces
        .into_iter()
        .map(|(namespace, items)| {
            let output = Value::from(
                BTreeMap::from([("items".to_owned(), Value::Array(items))])
                    .into_iter()
                    .collect::<serde_json::Map<_, _>>(),
            )
            .to_string();
            let mut case = CaseFile::new(&namespace, None, now);
            case.add(&Evidence {
                id: "E1".to_owned(),
                agent: Role::SreInvestigator,
                command: Command::Get {
                    resources: vec![Resource::Pods],
                    scope: Scope::Namespace(namespace.clone()),
                    name: None,
                },
                argv: Vec::new(),
                // Owners that could not be read are no reason to call a pod missing.
                state: EvidenceState::Truncated,
                exit_code: Some(0),
                duration_ms: 0,
                collected_at: now,
                sha256: sha256(output.as_bytes()),
                output,
            });
            let mut troubled = standings(&case);
            troubled.retain(|standing| standing.level < Level::Well);
            (namespace, troubled)
        })
        .filter(|(_, troubled)| !troubled.is_empty())
        .collect();
    let rank = |list: &[Standing]| {
        let worst = list.iter().map(|standing| standing.level).min().unwrap_or(Level::Well);
        let many = list.iter().filter(|standing| standing.level == worst).count();
        (worst, std::cmp::Reverse(many))
    };
    found.sort_by(|(a, left), (b, right)| rank(left).cmp(&rank(right)).then_with(|| a.cmp(b)));
    found
}

fn of(workload: &Workload<'_>) -> Standing {
    let ready = workload.ready();
    let desired = workload
        .desired
        .map_or(workload.pods.len(), |desired| usize::try_from(desired).unwrap_or(0));
    let restarts = workload
        .pods
        .iter()
        .flat_map(PodFacts::statuses)
        .map(|(status, _)| status.restart_count)
        .fold(0, i32::saturating_add);
    let failing = workload
        .pods
        .iter()
        .any(|pod| pod.phase() == "Failed" || (pod.phase() != "Succeeded" && !pod.is_ready() && !pod.is_going()));
    let level = if workload.is_service() && desired > 0 && ready == 0 {
        Level::Down
    } else if workload.is_service() && ready < desired {
        Level::Degraded
    } else if failing {
        Level::Failing
    } else if in_trouble(workload) {
        Level::Restarted
    } else {
        Level::Well
    };
    Standing {
        workload: workload.name.clone(),
        level,
        ready,
        desired,
        restarts,
        says: says(workload, level),
    }
}

/// What most of its unwell pods say.
fn says(workload: &Workload<'_>, level: Level) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for pod in workload
        .pods
        .iter()
        .filter(|pod| level == Level::Restarted || !pod.is_ready())
    {
        if let Some(word) = word(pod) {
            *counts.entry(word).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or_else(
        || {
            if workload.pods.is_empty() && level == Level::Down {
                "NoPods".to_owned()
            } else {
                String::new()
            }
        },
        |(word, _)| word,
    )
}

fn word(pod: &PodFacts<'_>) -> Option<String> {
    let told = |reason: &str| !matches!(reason, "" | "ContainerCreating" | "PodInitializing" | "Completed");
    let waits = pod
        .statuses()
        .filter_map(|(status, _)| waiting(status))
        .map(|(reason, _)| reason)
        .find(|reason| told(reason));
    let ended = pod
        .statuses()
        .filter_map(|(status, _)| ended(status))
        .map(|end| end.reason)
        .find(|reason| told(reason));
    if let Some(reason) = waits.or(ended) {
        return Some(reason.to_owned());
    }
    if pod
        .condition("PodScheduled")
        .is_some_and(|(status, _)| status == "False")
    {
        return Some("Unschedulable".to_owned());
    }
    let reason = pod.pod.status.as_ref().and_then(|status| status.reason.clone());
    reason.or_else(|| match pod.phase() {
        "Running" if !pod.is_ready() => Some("NotReady".to_owned()),
        "" | "Running" | "Succeeded" => None,
        phase => Some(phase.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    fn pod(namespace: &str, name: &str, ready: bool, restarts: i32) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
            "spec": { "containers": [{ "name": "c" }] },
            "status": {
                "phase": "Running",
                "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
                "containerStatuses": [{
                    "name": "c", "image": "i", "imageID": "", "ready": ready, "restartCount": restarts,
                    "state": if ready { json!({ "running": {} }) } else { json!({ "waiting": { "reason": "CrashLoopBackOff" } }) },
                }],
            },
        })
    }

    #[test]
    fn the_namespace_whose_workload_is_down_comes_before_one_that_only_restarted() {
        let list = json!({ "items": [
            pod("a-quiet", "well", true, 0),
            pod("b-past", "once", true, 2),
            pod("c-sick", "down", false, 7),
        ] });
        let found = survey(&list.to_string(), Timestamp::UNIX_EPOCH);
        let names: Vec<&str> = found.iter().map(|(namespace, _)| namespace.as_str()).collect();
        assert_eq!(names, ["c-sick", "b-past"]);
        let worst = &found[0].1[0];
        assert_eq!(
            (worst.level, worst.says.as_str(), worst.restarts),
            (Level::Down, "CrashLoopBackOff", 7)
        );
        assert_eq!(found[1].1[0].level, Level::Restarted);
    }

    #[test]
    fn what_is_no_list_has_no_namespaces() {
        assert!(survey("Error from server", Timestamp::UNIX_EPOCH).is_empty());
        assert!(survey("{}", Timestamp::UNIX_EPOCH).is_empty());
    }
}
