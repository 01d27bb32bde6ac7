//! Settings that a program's log calls missing: the name from the log, the place from the pod's spec, and the value from a neighbour
//! that has it, from an earlier revision, or not at all.
//!
//! Evidence: the log, the container's environment, ConfigMaps and other workloads of the namespace. Looks alike: a variable that is
//! set (then the log speaks of something else), and a Secret that may hold it (then no place is claimed).

use k8s_openapi::api::core::v1::ConfigMap;

use super::{KnownCause, View, claim, known, merge};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment::{self, Environment};
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::Signature;
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "MissingConfigMapKey",
        "The log calls a setting missing, and the ConfigMap that all settings come from does not have it.",
        "The log, the environment, the ConfigMap.",
        "A setting that a Secret may hold.",
    ),
    known(
        "MissingEnvironmentVariable",
        "The log calls a setting missing, and the container does not have it.",
        "The log, the environment.",
        "A variable that is set: then the log speaks of something else.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for workload in &view.facts.workloads {
        for (at, group, evidence) in view.logs.of(&workload.name) {
            if group.signature != Signature::MissingSetting || !super::signatures::counts(view, workload, at, group) {
                continue;
            }
            let Some(log) = view.facts.case.logs().get(at) else {
                continue;
            };
            if let Some(finding) = missing(view, workload, &log.container, &group.subject, &group.sample, evidence) {
                merge(&mut found, finding);
            }
        }
    }
    found
}

fn missing(
    view: &View<'_>,
    workload: &Workload<'_>,
    container: &str,
    name: &str,
    sample: &str,
    evidence: &str,
) -> Option<Finding> {
    let spec = workload.container(container)?;
    let env = environment::of(view.facts.case, workload.namespace(), spec);
    let variable = variable_name(name, &env);
    let present = env.values.get(&variable);
    if present
        .is_some_and(|variable| variable.secret || variable.value.as_deref().is_some_and(|value| !value.is_empty()))
    {
        return None;
    }
    let at = ContainerRef {
        workload: workload.name.clone(),
        container: container.to_owned(),
    };
    // The ConfigMap that all of the environment comes from, if there is one: the place where its neighbours stand.
    let home = sole_config_map(&env);
    let value = known_value(view, workload, &variable, home.as_ref().map(|(name, _)| name));
    let neighbour = value
        .as_ref()
        .map_or(String::new(), |value| format!("; {} has it", value.source));
    let agreeing = 1 + u8::from(value.is_some()) + u8::from(!env.whole_secret);
    let cited = [evidence, workload.evidence]
        .into_iter()
        .chain(value.iter().flat_map(|value| value.evidence.iter().map(String::as_str)));
    let empty = if present.is_some() { "empty" } else { "missing" };
    let finding = match home {
        Some((map, key_prefix)) if !env.whole_secret && present.is_none() => {
            let key = variable.strip_prefix(key_prefix.as_str()).unwrap_or(&variable).to_owned();
            let map_evidence = view.facts.case.entry(&map).map_or("", |entry| entry.evidence.as_str());
            claim("MissingConfigMapKey", &map, Depth::Fault, Basis::Logged, agreeing)
                .says(format!(
                    "{map} has no key {key}: the setting that container {container} of {} needs at its start is missing (\"{}\"){neighbour}",
                    workload.name,
                    crate::text::clip(sample, 160)
                ))
                .cites(cited.chain([map_evidence]))
                .affects([workload.name.clone()])
                .remedy(Remedy::MissingConfigMapKey {
                    config_map: map.clone(),
                    key,
                    value,
                    consumer: at,
                })
        }
        _ => claim("MissingEnvironmentVariable", &workload.name, Depth::Fault, Basis::Logged, agreeing)
            .says(format!(
                "environment variable {variable} is {empty} (not set) in container {container} of {}, which ends without it (\"{}\"){neighbour}",
                workload.name,
                crate::text::clip(sample, 160)
            ))
            .cites(cited)
            .remedy(Remedy::Env {
                container: at,
                name: variable.clone(),
                from: present.and_then(|variable| variable.value.clone()),
                to: value,
            }),
    };
    Some(
        finding
            .long_term("check required settings in the delivery pipeline, before the pods start")
            .done(),
    )
}

/// `db.url` of a log is `DB_URL` in the environment, unless a variable has the very name.
fn variable_name(name: &str, env: &Environment) -> String {
    if env.values.contains_key(name) || !name.contains(['.', '-']) {
        return name.to_owned();
    }
    name.replace(['.', '-'], "_").to_ascii_uppercase()
}

fn sole_config_map(env: &Environment) -> Option<(ObjectName, String)> {
    let whole: Vec<_> = env
        .config_maps
        .iter()
        .filter(|map| !map.optional)
        .filter_map(|map| Some((map.name.clone(), map.whole.clone()?)))
        .collect();
    match whole.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}

/// A value for that setting, where all that have it in the namespace agree: the workload's earlier revision first, then other
/// workloads' literals and ConfigMaps. Never one that may be a credential.
pub(super) fn known_value(
    view: &View<'_>,
    workload: &Workload<'_>,
    name: &str,
    besides: Option<&ObjectName>,
) -> Option<KnownValue> {
    let case = view.facts.case;
    if let Some((_, before)) = workload.last_two() {
        let containers = before.template.spec.iter().flat_map(|spec| &spec.containers);
        let old = containers
            .flat_map(|c| c.env.iter().flatten())
            .find(|variable| variable.name == name)
            .and_then(|variable| variable.value.clone());
        if let Some(value) = old.filter(|value| !value.is_empty() && !environment::looks_secret(name, value)) {
            return Some(KnownValue {
                value,
                source: format!("revision {} of {}", before.number, workload.name),
                evidence: vec![before.evidence.to_owned()],
            });
        }
    }
    let mut known: Vec<KnownValue> = Vec::new();
    let mut add = |value: &str, source: String, evidence: &str| {
        if !value.is_empty() && !environment::looks_secret(name, value) {
            known.push(KnownValue {
                value: value.to_owned(),
                source,
                evidence: vec![evidence.to_owned()],
            });
        }
    };
    for (map, object, evidence) in case.all::<ConfigMap>() {
        if Some(map) != besides
            && let Some(value) = object.data.as_ref().and_then(|data| data.get(name))
        {
            add(value, map.to_string(), evidence);
        }
    }
    for other in &view.facts.workloads {
        if other.name == workload.name {
            continue;
        }
        for variable in other
            .containers()
            .iter()
            .flat_map(|c| c.env.iter().flatten())
            .filter(|variable| variable.name == name)
        {
            if let Some(value) = &variable.value {
                add(value, other.name.to_string(), other.evidence);
            }
        }
    }
    let first = known.first()?.clone();
    known.iter().all(|other| other.value == first.value).then_some(first)
}
