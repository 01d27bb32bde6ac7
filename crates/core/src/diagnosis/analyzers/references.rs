//! ConfigMaps, Secrets, keys and claims that a pod names and that are not there.
//!
//! Evidence: the pod's spec beside a complete list of the namespace, the waiting state, and events of the kubelet. Secrets are never
//! read: only the kubelet's own words tell of them. Looks alike: optional references, which may be absent.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment;
use crate::diagnosis::facts::{PodFacts, Workload, waiting};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};
use crate::diagnosis::similar::{closest, typo};
use crate::sandbox::command::Resource;

static NOT_FOUND: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?i)(configmap|secret|persistentvolumeclaim) "([^"]+)" not found"#).ok());
static NO_KEY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)couldn't find key (\S+) in (ConfigMap|Secret) (?:[^/\s]+/)?(\S+)|(configmap) references non-existent config key: (\S+)").ok()
});

static MOUNTED_KEY: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"references non-existent secret key: (\S+)").ok());

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "MissingConfigMap",
        "A pod names a ConfigMap that is not there.",
        "The pod's spec beside a complete list of ConfigMaps, or the kubelet's message.",
        "A reference that is optional.",
    ),
    known(
        "MissingConfigMapKey",
        "A pod names a key that its ConfigMap does not have.",
        "The pod's spec beside the ConfigMap, the kubelet's message.",
        "A reference that is optional; a key that has just been added.",
    ),
    known(
        "MissingSecret",
        "A pod names a Secret that is not there.",
        "The kubelet's message alone: Secrets are never read.",
        "A reference that is optional.",
    ),
    known(
        "MissingSecretKey",
        "A pod names a key that its Secret does not have.",
        "The kubelet's message alone: Secrets are never read.",
        "A reference that is optional.",
    ),
    known(
        "MissingClaim",
        "A pod mounts a PersistentVolumeClaim that is not there.",
        "The pod's spec beside a complete list of claims.",
        "A claim that is there and not bound.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        let said = said(view, workload);
        found.extend(config_maps(view, workload, &said));
        found.extend(secrets(workload, &said));
        found.extend(claims(view, workload));
    }
    found
}

/// All pods are ready (or none is wanted): what is missing now was there when they started, and is not this incident's trouble.
fn is_served(workload: &Workload<'_>) -> bool {
    workload.is_service()
        && workload
            .desired
            .is_some_and(|desired| workload.ready() >= usize::try_from(desired).unwrap_or(0))
}

/// What the kubelet said: text and evidence.
///
/// What was missing for a while and has come is no trouble: words about a pod whose containers have run count no more.
fn said<'v>(view: &'v View<'_>, workload: &'v Workload<'_>) -> Vec<(&'v str, &'v str)> {
    let held = |pod: &PodFacts<'_>| {
        let refused = pod
            .statuses()
            .any(|(status, _)| waiting(status).is_some_and(|(reason, _)| reason == "CreateContainerConfigError"));
        !pod.is_ready() && !pod.is_over() && (refused || !pod.has_run())
    };
    let events = workload
        .pods
        .iter()
        .filter(|pod| held(pod))
        .flat_map(|pod| view.facts.events(pod.name).iter().copied())
        .filter(|event| event.warning && (event.message.contains("not found") || event.message.contains("key")))
        .map(|event| (event.message.as_str(), event.evidence.as_str()));
    let states = workload.pods.iter().flat_map(|pod| {
        pod.statuses()
            .filter_map(move |(status, _)| waiting(status).map(|(_, message)| (message, pod.evidence)))
    });
    events.chain(states).filter(|(text, _)| !text.is_empty()).collect()
}

fn config_maps(view: &View<'_>, workload: &Workload<'_>, said: &[(&str, &str)]) -> Vec<Finding> {
    let Some(spec) = workload.pod_spec() else {
        return Vec::new();
    };
    let namespace = workload.namespace();
    let case = view.facts.case;
    let mut wanted: BTreeSet<(String, Option<String>, Option<String>)> = BTreeSet::new();
    for volume in spec.volumes.iter().flatten() {
        let sources = volume.config_map.iter().map(|s| (&s.name, s.optional, &s.items));
        let projected = volume
            .projected
            .iter()
            .flat_map(|p| p.sources.iter().flatten())
            .filter_map(|s| s.config_map.as_ref());
        for (name, optional, items) in sources.chain(projected.map(|s| (&s.name, s.optional, &s.items))) {
            if optional != Some(true) {
                wanted.insert((name.clone(), None, None));
                for item in items.iter().flatten() {
                    wanted.insert((name.clone(), Some(item.key.clone()), None));
                }
            }
        }
    }
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        for map in environment::of(case, namespace, container)
            .config_maps
            .into_iter()
            .filter(|map| !map.optional)
        {
            wanted.insert((map.name.name.clone(), None, None));
            for key in map.keys {
                wanted.insert((map.name.name.clone(), Some(key), Some(container.name.clone())));
            }
        }
    }
    let list = case.complete_list(Resource::ConfigMaps);
    let mut found = Vec::new();
    for (name, key, container) in wanted {
        let object = ObjectName::namespaced("ConfigMap", namespace, name.clone());
        let entry = case.entry(&object);
        let event = said.iter().find(|(text, _)| match &key {
            None => mentions(&NOT_FOUND, text, 2, &name) && text.to_ascii_lowercase().contains("configmap"),
            Some(key) => {
                (mentions(&NO_KEY, text, 1, key) && mentions(&NO_KEY, text, 3, &name))
                    || mentions(&NO_KEY, text, 5, key)
            }
        });
        if event.is_none() && is_served(workload) {
            continue;
        }
        match (&key, entry, list) {
            (None, None, list) if list.is_some() || event.is_some() => {
                let near = closest(&name, case.all::<ConfigMap>().map(|(other, _, _)| other.name.as_str()));
                let hint = if near.is_empty() {
                    String::new()
                } else {
                    format!("; {} exists", near.join(" and "))
                };
                let basis = if event.is_some() {
                    Basis::Stated
                } else {
                    Basis::Inferred
                };
                found.push(
                    claim(
                        "MissingConfigMap",
                        &workload.name,
                        Depth::Fault,
                        basis,
                        1 + u8::from(event.is_some() && list.is_some()),
                    )
                    .says(format!(
                        "ConfigMap {name}, which the pods of {} need, does not exist (not found){hint}",
                        workload.name
                    ))
                    .cites(
                        [workload.evidence]
                            .into_iter()
                            .chain(list)
                            .chain(event.map(|(_, id)| *id)),
                    )
                    .remedy(or_manual(
                        list.and_then(|_| meant_map(view, workload, &name)),
                        format!(
                            "create ConfigMap {name}, or let {} refer to one that exists{hint}",
                            workload.name
                        ),
                    ))
                    .done(),
                );
            }
            (Some(key), Some(entry), _) => {
                let has = case.get::<ConfigMap>(&name).is_some_and(|map| {
                    map.data.as_ref().is_some_and(|d| d.contains_key(key))
                        || map.binary_data.as_ref().is_some_and(|d| d.contains_key(key))
                });
                if has {
                    continue;
                }
                let container = container
                    .clone()
                    .or_else(|| workload.containers().first().map(|c| c.name.clone()))
                    .unwrap_or_default();
                let value = super::settings::known_value(view, workload, key, Some(&object));
                let source = value
                    .as_ref()
                    .map_or(String::new(), |value| format!("; {} has it", value.source));
                found.push(
                    claim(
                        "MissingConfigMapKey",
                        &object,
                        Depth::Fault,
                        Basis::Stated,
                        1 + u8::from(event.is_some()) + u8::from(value.is_some()),
                    )
                    .says(format!(
                        "{object} has no key {key}, which container {container} of {} needs (missing){source}",
                        workload.name
                    ))
                    .cites(
                        [entry.evidence.as_str(), workload.evidence]
                            .into_iter()
                            .chain(event.map(|(_, id)| *id)),
                    )
                    .affects([workload.name.clone()])
                    .remedy({
                        let meant = meant_key(view, workload, &object, key);
                        let known = value.is_some();
                        let add = Remedy::MissingConfigMapKey {
                            config_map: object.clone(),
                            key: key.clone(),
                            value,
                            consumer: ContainerRef {
                                workload: workload.name.clone(),
                                container,
                            },
                        };
                        match meant {
                            // A neighbour has the very name, so it is none of a slip.
                            Some(meant) if !known => meant.or(Some(add)),
                            meant => add.or(meant),
                        }
                    })
                    .done(),
                );
            }
            _ => {}
        }
    }
    found
}

/// The ConfigMap that a reference must mean: the one whose name differs by a slip, where it has every key that is asked for.
fn meant_map(view: &View<'_>, workload: &Workload<'_>, name: &str) -> Option<Remedy> {
    let case = view.facts.case;
    let meant = typo(name, case.all::<ConfigMap>().map(|(other, _, _)| other.name.as_str()))?;
    let object = ObjectName::namespaced("ConfigMap", workload.namespace(), meant);
    let entry = case.entry(&object)?;
    let held = case.get::<ConfigMap>(meant)?;
    let keys = workload.pod_spec().into_iter().flat_map(|spec| {
        let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        containers
            .flat_map(|container| container.env.iter().flatten())
            .filter_map(|variable| variable.value_from.as_ref()?.config_map_key_ref.as_ref())
            .filter(|reference| reference.name == name && reference.optional != Some(true))
            .map(|reference| reference.key.as_str())
    });
    let whole = keys
        .into_iter()
        .all(|key| held.data.as_ref().is_some_and(|data| data.contains_key(key)));
    whole.then(|| Remedy::ConfigMapReference {
        workload: workload.name.clone(),
        config_map: name.to_owned(),
        key: None,
        to: Some(KnownValue {
            value: meant.to_owned(),
            source: object.to_string(),
            evidence: vec![entry.evidence.clone()],
        }),
    })
}

/// The key that a reference must mean: the one whose name differs by a slip.
fn meant_key(view: &View<'_>, workload: &Workload<'_>, map: &ObjectName, key: &str) -> Option<Remedy> {
    let entry = view.facts.case.entry(map)?;
    let held = view.facts.case.get::<ConfigMap>(&map.name)?;
    let meant = typo(key, held.data.iter().flatten().map(|(key, _)| key.as_str()))?;
    Some(Remedy::ConfigMapReference {
        workload: workload.name.clone(),
        config_map: map.name.clone(),
        key: Some(key.to_owned()),
        to: Some(KnownValue {
            value: meant.to_owned(),
            source: map.to_string(),
            evidence: vec![entry.evidence.clone()],
        }),
    })
}

fn or_manual(remedy: Option<Remedy>, instruction: String) -> Remedy {
    let manual = Remedy::Manual { instruction };
    match remedy {
        Some(remedy) => remedy.or(Some(manual)),
        None => manual,
    }
}

fn secrets(workload: &Workload<'_>, said: &[(&str, &str)]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut seen = BTreeSet::new();
    for (text, evidence) in said {
        let missing = NOT_FOUND
            .as_ref()
            .and_then(|regex| regex.captures(text))
            .filter(|captures| {
                captures
                    .get(1)
                    .is_some_and(|kind| kind.as_str().eq_ignore_ascii_case("secret"))
            })
            .and_then(|captures| captures.get(2))
            .map(|name| (name.as_str(), None));
        let key = NO_KEY
            .as_ref()
            .and_then(|regex| regex.captures(text))
            .filter(|captures| {
                captures
                    .get(2)
                    .is_some_and(|kind| kind.as_str().eq_ignore_ascii_case("secret"))
            })
            .and_then(|captures| Some((captures.get(3)?.as_str(), Some(captures.get(1)?.as_str()))));
        // The kubelet names the key of a mounted Secret, and the volume.
        let mounted = || {
            let key = MOUNTED_KEY.as_ref()?.captures(text)?.get(1)?.as_str();
            Some((secret_with_item(workload, key)?, Some(key)))
        };
        let Some((name, key)) = missing.or(key).or_else(mounted) else {
            continue;
        };
        if !seen.insert((name, key)) {
            continue;
        }
        let (category, what) = match key {
            None => (
                "MissingSecret",
                format!(
                    "Secret {name}, which the pods of {} need, does not exist (not found)",
                    workload.name
                ),
            ),
            Some(key) => (
                "MissingSecretKey",
                format!(
                    "Secret {name} has no key {key}, which the pods of {} need (not found)",
                    workload.name
                ),
            ),
        };
        found.push(
            claim(category, &workload.name, Depth::Fault, Basis::Stated, 2)
                .says(what)
                .cites([*evidence, workload.evidence])
                .manual(format!("create Secret {name} as the pods need it, or let {} refer to the right one; Firewatch never reads Secrets", workload.name))
                .done(),
        );
    }
    found
}

/// The Secret of which a volume mounts that key.
fn secret_with_item<'a>(workload: &Workload<'a>, key: &str) -> Option<&'a str> {
    let volumes = workload.pod_spec()?.volumes.iter().flatten();
    volumes
        .flat_map(|volume| {
            let own = volume
                .secret
                .iter()
                .filter_map(|secret| Some((secret.secret_name.as_deref()?, secret.items.as_ref()?)));
            let projected = volume
                .projected
                .iter()
                .flat_map(|projected| projected.sources.iter().flatten())
                .filter_map(|source| source.secret.as_ref())
                .filter_map(|secret| Some((secret.name.as_str(), secret.items.as_ref()?)));
            own.chain(projected)
        })
        .find(|(_, items)| items.iter().any(|item| item.key == key))
        .map(|(name, _)| name)
}

fn claims(view: &View<'_>, workload: &Workload<'_>) -> Vec<Finding> {
    let case = view.facts.case;
    let Some(list) = case.complete_list(Resource::PersistentVolumeClaims) else {
        return Vec::new();
    };
    if is_served(workload) {
        return Vec::new();
    }
    workload
        .pod_spec()
        .into_iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter_map(|volume| volume.persistent_volume_claim.as_ref())
        .filter(|source| case.get::<PersistentVolumeClaim>(&source.claim_name).is_none())
        .map(|source| {
            let near = closest(
                &source.claim_name,
                case.all::<PersistentVolumeClaim>()
                    .map(|(other, _, _)| other.name.as_str()),
            );
            let hint = if near.is_empty() {
                String::new()
            } else {
                format!("; {} exists", near.join(" and "))
            };
            claim("MissingClaim", &workload.name, Depth::Fault, Basis::Stated, 1)
                .says(format!(
                    "PersistentVolumeClaim {}, which the pods of {} mount, does not exist{hint}",
                    source.claim_name, workload.name
                ))
                .cites([workload.evidence, list])
                .manual(format!(
                    "create the claim {}, or mount one that exists{hint}",
                    source.claim_name
                ))
                .done()
        })
        .collect()
}

fn mentions(regex: &LazyLock<Option<Regex>>, text: &str, group: usize, name: &str) -> bool {
    regex.as_ref().is_some_and(|regex| {
        regex
            .captures_iter(text)
            .any(|captures| captures.get(group).is_some_and(|m| m.as_str() == name))
    })
}
