//! What the last rollout changed, put beside what went wrong after it: a fault that the change can explain gets the way back as its
//! remedy, with the difference of the templates.
//!
//! Evidence: ReplicaSets or ControllerRevisions of the workload. Looks alike: a change long before the trouble, a change that does not
//! touch what is wrong, and a first revision, which has no way back.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Container, PodTemplateSpec};
use k8s_openapi::jiff::SignedDuration;

use super::View;
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{Revision, Workload};
use crate::diagnosis::finding::{Confidence, Depth, Finding};
use crate::diagnosis::remedy::Remedy;
use crate::text::clip;

/// A fault that a change brought shows within this time.
const FAULT_SHOWS: SignedDuration = SignedDuration::from_hours(24);
/// A leak that a change brought shows within this time.
const LEAK_SHOWS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A program that asks too often does so from its start.
const RATE_SHOWS: SignedDuration = SignedDuration::from_hours(1);

/// Labels and annotations that a controller or a restart writes.
const NOISE: [&str; 4] = [
    "pod-template-hash",
    "controller-revision-hash",
    "kubectl.kubernetes.io/restartedAt",
    "pod-template-generation",
];

/// Puts the last change beside every fault that it can explain.
pub(super) fn attach(view: &View<'_>, findings: &mut [Finding]) {
    for finding in findings.iter_mut() {
        let Some(workload) = view
            .facts
            .workload(&finding.object)
            .filter(|workload| workload.name == finding.object)
        else {
            continue;
        };
        let Some((now, before)) = workload.last_two() else {
            continue;
        };
        if finding.depth < Depth::Mechanism {
            continue;
        }
        let changes = diff(&before.template, &now.template);
        let touching: Vec<&String> = changes
            .iter()
            .filter(|change| touches(&finding.category, change) || calls_what_fails(finding, change))
            .collect();
        if touching.is_empty() || !precedes(finding, now) || !lived(now, before) {
            continue;
        }
        let shown = touching
            .iter()
            .take(3)
            .map(|change| change.as_str())
            .collect::<Vec<_>>()
            .join("; ");
        // Where the old revision still serves beside the failing new one, its soundness is seen, not inferred.
        let serves = before.ready > 0;
        finding.summary = clip(
            &format!(
                "{}; it came with revision {} of {}, which changed {}{}",
                finding.summary,
                now.number,
                workload.name,
                clip(&shown, 300),
                if serves {
                    format!(" (revision {} still serves)", before.number)
                } else {
                    String::new()
                }
            ),
            1000,
        );
        for revision in [now, before] {
            if !finding.evidence.iter().any(|id| id == revision.evidence) {
                finding.evidence.push(revision.evidence.to_owned());
            }
        }
        finding.confidence = Confidence::hundredths((finding.confidence.as_hundredths() + 5).min(97));
        finding.since = finding.since.min(now.created).or(now.created);
        if matches!(workload.name.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet") {
            if finding.category == "OutOfMemory"
                && let Some(Remedy::Resources { from: Some(limit), .. }) = &finding.remedy
            {
                finding.long_term.push(format!(
                    "if more memory is meant by the change, raise the limit of {limit} instead of going back"
                ));
            }
            finding.depth = Depth::Fault;
            let ways = finding.remedy.iter().flat_map(Remedy::ways);
            if ways.into_iter().any(|way| matches!(way, Remedy::BadRevision { .. })) {
                continue;
            }
            // Back to what worked is safer than a value that is only likely.
            let back = Remedy::BadRevision {
                workload: workload.name.clone(),
                from_revision: now.number,
                to_revision: before.number,
                diff: clip(&changes.join("\n"), 6000),
            };
            finding.remedy = Some(back.or(finding.remedy.take()));
        }
    }
}

/// What changed in the ConfigMaps that two revisions mount or read, line by line: for programs and settings that live there.
pub(super) fn code_changes(view: &View<'_>, findings: &[Finding]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for finding in findings.iter().filter(|finding| {
        let mut ways = finding.remedy.iter().flat_map(Remedy::ways);
        ways.any(|way| matches!(way, Remedy::BadRevision { .. }))
    }) {
        let Some(workload) = view.facts.workload(&finding.object) else {
            continue;
        };
        let Some((now, before)) = workload.last_two() else {
            continue;
        };
        if found.iter().any(|known| known.object == workload.name) {
            continue;
        }
        for (old, new) in config_maps(&before.template)
            .into_iter()
            .zip(config_maps(&now.template))
        {
            let (Some(from), Some(to)) = (data(view, workload, &old), data(view, workload, &new)) else {
                continue;
            };
            if old == new {
                continue;
            }
            let lines = line_changes(&from.0, &to.0);
            if lines.is_empty() {
                continue;
            }
            found.push(
                super::claim("ChangedByRollout", &workload.name, Depth::Mechanism, Basis::Inferred, 2)
                    .says(format!(
                        "revision {} of {} reads ConfigMap {new} where revision {} read {old}; it differs in: {}",
                        now.number,
                        workload.name,
                        before.number,
                        clip(&lines.join(" "), 500)
                    ))
                    .cites([now.evidence, before.evidence, from.1, to.1])
                    .since(now.created)
                    .done(),
            );
            break;
        }
    }
    found
}

fn config_maps(template: &PodTemplateSpec) -> Vec<String> {
    let spec = template.spec.as_ref();
    let volumes = spec.into_iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mounted = volumes.filter_map(|volume| volume.config_map.as_ref().map(|map| map.name.clone()));
    let containers = spec.into_iter().flat_map(|spec| &spec.containers);
    let read = containers
        .flat_map(|container| container.env_from.iter().flatten())
        .filter_map(|source| source.config_map_ref.as_ref().map(|map| map.name.clone()));
    mounted.chain(read).collect()
}

fn data<'v>(view: &'v View<'_>, workload: &Workload<'_>, name: &str) -> Option<(Vec<&'v str>, &'v str)> {
    let object = ObjectName::namespaced("ConfigMap", workload.namespace(), name);
    let entry = view.facts.case.entry(&object)?;
    let map = view.facts.case.get::<ConfigMap>(name)?;
    let lines = map
        .data
        .iter()
        .flatten()
        .flat_map(|(_, text)| text.lines())
        .map(str::trim)
        .filter(|line| !line.is_empty());
    Some((lines.collect(), entry.evidence.as_str()))
}

/// Lines that only one of the two has, the new ones first, at most a dozen.
fn line_changes(from: &[&str], to: &[&str]) -> Vec<String> {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (from.iter().copied().collect(), to.iter().copied().collect());
    let added = to
        .iter()
        .filter(|line| !old.contains(*line))
        .map(|line| format!("`+ {}`", clip(line, 100)));
    let removed = from
        .iter()
        .filter(|line| !new.contains(*line))
        .map(|line| format!("`- {}`", clip(line, 100)));
    added.chain(removed).take(12).collect()
}

/// Faults that a change of the pod template can bring, by what it changed.
fn touches(category: &str, change: &str) -> bool {
    let any = |words: &[&str]| words.iter().any(|word| change.contains(word));
    match category {
        "ImagePullFailed"
        | "ImageNameInvalid"
        | "RegistryRefuses"
        | "RegistryUnreachable"
        | "ImageNeverPulled"
        | "WrongPlatform" => any(&[".image"]),
        "CommandNotFound"
        | "CommandNotExecutable"
        | "CannotStart"
        | "EntrypointMissing"
        | "ScriptInterpreterMissing" => any(&[".image:", ".command:", ".args:"]),
        "MountHidesProgram" | "MountPathConflict" | "WrongSubPath" | "MountedFileMissing" | "MountReadOnly" => {
            any(&["volumes", "volumeMounts", ".image:"])
        }
        "UserUnknown"
        | "SecurityProfileMissing"
        | "RootFileSystemReadOnly"
        | "VolumeNotWritable"
        | "PrivilegedPort" => any(&["securityContext", ".image:"]),
        "UnexpandedVariable" | "UnquotedExpansion" => any(&["env ", "envFrom", ".command:", ".args:"]),
        "MissingEnvironmentVariable"
        | "MissingConfigMap"
        | "MissingSecret"
        | "MissingConfigMapKey"
        | "MissingSecretKey"
        | "MissingClaim"
        | "WrongHostname" => any(&["env ", "envFrom", "volumes", ".image:", ".command:", ".args:"]),
        "OutOfMemory"
        | "UncaughtError"
        | "SyntaxError"
        | "FileMissing"
        | "PermissionDenied"
        | "InvalidSetting"
        | "ConnectionPoolExhausted"
        | "OutOfMemoryInProcess"
        | "TooManyOpenFiles"
        | "ReadOnlyFileSystem"
        | "RepeatedErrors"
        | "SchemaMissing"
        | "ProcessLimitReached"
        | "SharedMemoryTooSmall"
        | "Stalled"
        | "Deadlock"
        | "PoisonMessage"
        | "RateLimited"
        | "RetryStorm"
        | "CommandEndsAtOnce"
        | "RunAsRootRefused" => any(&[
            ".image:",
            ".command:",
            ".args:",
            "env ",
            "envFrom",
            "volumes",
            "resources",
            "securityContext",
        ]),
        "WrongProbePort"
        | "WrongProbeProtocol"
        | "ProbeUnauthorized"
        | "WrongProbePath"
        | "ProbeNeverSucceeds"
        | "ProbeTooStrict"
        | "ProbeKillsSlowStart" => any(&["Probe", ".ports:", "env "]),
        "CredentialsRefused" | "DependencyUnreachable" | "ExternalDependencyFails" | "WrongPort" | "TokenExpired" => {
            any(&["env ", "envFrom", "volumes", ".command:", ".args:"])
        }
        "InsufficientResources"
        | "QuotaNeedsResources"
        | "LimitRangeViolated"
        | "RequestsAboveLimits"
        | "MemoryLimitTooLow"
        | "EphemeralStorageExceeded"
        | "CpuThrottled" => any(&["resources"]),
        "NodeSelectorMatchesNothing" => any(&["nodeSelector", "affinity"]),
        "AntiAffinityUnsatisfiable" | "AffinityUnsatisfiable" | "TopologySpreadUnsatisfiable" => {
            any(&["affinity", "topologySpread"])
        }
        "TaintNotTolerated" => any(&["tolerations"]),
        "PodSecurityViolated" => any(&["securityContext", "host"]),
        _ => false,
    }
}

/// Whether a change gave the program another host to call, and the finding is about a call to it.
fn calls_what_fails(finding: &Finding, change: &str) -> bool {
    matches!(finding.category.as_str(), "CertificateInvalid" | "ProtocolMismatch")
        && [" env ", ".args:", ".command:"]
            .iter()
            .any(|word| change.contains(word))
        && change.rsplit_once(" → ").is_some_and(|(_, now)| {
            crate::diagnosis::logs::endpoints(now)
                .iter()
                .any(|endpoint| finding.summary.contains(&endpoint.host))
        })
}

/// Whether the change came before the trouble, as far as times are known.
fn precedes(finding: &Finding, now: &Revision<'_>) -> bool {
    match (now.created, finding.since) {
        (Some(change), Some(trouble)) => {
            // What ran well for a day was not broken by the change; a leak takes longer to show.
            let patience = if finding.category == "OutOfMemory" {
                LEAK_SHOWS
            } else if matches!(finding.category.as_str(), "RateLimited" | "RetryStorm") {
                RATE_SHOWS
            } else {
                FAULT_SHOWS
            };
            let since = trouble.duration_since(change);
            since >= SignedDuration::from_secs(-5) && since <= patience
        }
        _ => true,
    }
}

/// Whether the revision before had a life at all: one that was replaced within seconds proves nothing.
fn lived(now: &Revision<'_>, before: &Revision<'_>) -> bool {
    match (before.created, now.created) {
        (Some(old), Some(new)) => {
            before.ready > 0 || new.duration_since(old) >= SignedDuration::from_secs(5) || new < old
        }
        _ => true,
    }
}

/// What differs between two pod templates, one line each: `container web.image: a → b`.
pub(crate) fn diff(before: &PodTemplateSpec, after: &PodTemplateSpec) -> Vec<String> {
    let mut lines = Vec::new();
    let labels = |template: &PodTemplateSpec| {
        let metadata = template.metadata.clone().unwrap_or_default();
        metadata
            .labels
            .unwrap_or_default()
            .into_iter()
            .map(|(k, v)| (format!("label {k}"), v))
            .chain(
                metadata
                    .annotations
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(k, v)| (format!("annotation {k}"), v)),
            )
            .filter(|(key, _)| !NOISE.iter().any(|noise| key.ends_with(noise)))
            .collect::<std::collections::BTreeMap<String, String>>()
    };
    maps(&mut lines, "", &labels(before), &labels(after));
    let (Some(old), Some(new)) = (&before.spec, &after.spec) else {
        return lines;
    };
    let both = |spec: &k8s_openapi::api::core::v1::PodSpec| -> Vec<(String, Container)> {
        let init = spec
            .init_containers
            .iter()
            .flatten()
            .map(|c| (format!("init container {}", c.name), c.clone()));
        spec.containers
            .iter()
            .map(|c| (format!("container {}", c.name), c.clone()))
            .chain(init)
            .collect()
    };
    let (old_containers, new_containers) = (both(old), both(new));
    for (name, container) in &new_containers {
        match old_containers.iter().find(|(other, _)| other == name) {
            Some((_, former)) => containers(&mut lines, name, former, container),
            None => lines.push(format!(
                "{name}: added, image {}",
                container.image.as_deref().unwrap_or("none")
            )),
        }
    }
    for (name, _) in &old_containers {
        if !new_containers.iter().any(|(other, _)| other == name) {
            lines.push(format!("{name}: removed"));
        }
    }
    let mut rest = |what: &str, a: serde_json::Result<serde_json::Value>, b: serde_json::Result<serde_json::Value>| {
        if let (Ok(a), Ok(b)) = (a, b)
            && a != b
        {
            lines.push(format!("{what}: {} → {}", short(&a), short(&b)));
        }
    };
    let json = |spec: &k8s_openapi::api::core::v1::PodSpec, key: &str| {
        serde_json::to_value(spec).map(|value| value.get(key).cloned().unwrap_or(serde_json::Value::Null))
    };
    for key in [
        "volumes",
        "nodeSelector",
        "affinity",
        "tolerations",
        "topologySpreadConstraints",
        "securityContext",
        "serviceAccountName",
        "hostNetwork",
        "priorityClassName",
        "terminationGracePeriodSeconds",
    ] {
        rest(key, json(old, key), json(new, key));
    }
    lines
}

fn containers(lines: &mut Vec<String>, name: &str, old: &Container, new: &Container) {
    let env = |container: &Container| {
        container
            .env
            .iter()
            .flatten()
            .map(|variable| {
                let value = variable.value.clone().unwrap_or_else(|| {
                    variable
                        .value_from
                        .as_ref()
                        .and_then(|from| serde_json::to_value(from).ok())
                        .map_or(String::new(), |value| value.to_string())
                });
                (format!("{name} env {}", variable.name), value)
            })
            .collect::<std::collections::BTreeMap<String, String>>()
    };
    maps(lines, "", &env(old), &env(new));
    let (Ok(a), Ok(b)) = (serde_json::to_value(old), serde_json::to_value(new)) else {
        return;
    };
    for key in [
        "image",
        "command",
        "args",
        "envFrom",
        "ports",
        "resources",
        "readinessProbe",
        "livenessProbe",
        "startupProbe",
        "volumeMounts",
        "securityContext",
        "lifecycle",
        "workingDir",
    ] {
        let (from, to) = (a.get(key), b.get(key));
        if from != to {
            let null = serde_json::Value::Null;
            lines.push(format!(
                "{name}.{key}: {} → {}",
                short(from.unwrap_or(&null)),
                short(to.unwrap_or(&null))
            ));
        }
    }
}

fn maps(
    lines: &mut Vec<String>,
    prefix: &str,
    old: &std::collections::BTreeMap<String, String>,
    new: &std::collections::BTreeMap<String, String>,
) {
    for (key, value) in new {
        match old.get(key) {
            Some(former) if former == value => {}
            Some(former) => lines.push(format!("{prefix}{key}: {} → {}", clip(former, 160), clip(value, 160))),
            None => lines.push(format!("{prefix}{key}: added, {}", clip(value, 160))),
        }
    }
    for (key, former) in old {
        if !new.contains_key(key) {
            lines.push(format!("{prefix}{key}: removed, was {}", clip(former, 160)));
        }
    }
}

fn short(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "none".to_owned(),
        serde_json::Value::String(text) => clip(text, 200),
        other => clip(&other.to_string(), 200),
    }
}

/// Used by the Code Analyst to tell of the last change even where nothing is wrong with it.
pub(crate) fn last_change(workload: &Workload<'_>) -> Option<(i64, Vec<String>)> {
    let (now, before) = workload.last_two()?;
    let changes = diff(&before.template, &now.template);
    (!changes.is_empty()).then_some((now.number, changes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::ObjectName;

    #[test]
    fn a_change_can_bring_only_faults_of_what_it_touches() {
        const IMAGE: &str = "container web.image: a → b";
        const COMMAND: &str = "container web.command: [\"a\"] → [\"b\"]";
        const ENV: &str = "container web env MODE: a → b";
        const VOLUMES: &str = "volumes: [] → [{\"name\":\"data\"}]";
        const RESOURCES: &str = "container web.resources: none → {}";
        const SECURITY: &str = "container web.securityContext: none → {}";
        const PROBE: &str = "container web.readinessProbe: none → {}";
        const PLACE: &str = "nodeSelector: none → {\"pool\":\"a\"}";
        const SPREAD: &str = "topologySpreadConstraints: [] → [{}]";
        const TOLERATIONS: &str = "tolerations: [] → [{}]";
        const ALL: [&str; 10] = [
            IMAGE,
            COMMAND,
            ENV,
            VOLUMES,
            RESOURCES,
            SECURITY,
            PROBE,
            PLACE,
            SPREAD,
            TOLERATIONS,
        ];
        for (category, by) in [
            ("ImagePullFailed", &[IMAGE][..]),
            ("WrongPlatform", &[IMAGE]),
            ("CommandNotFound", &[IMAGE, COMMAND]),
            ("CannotStart", &[IMAGE, COMMAND]),
            ("MountHidesProgram", &[IMAGE, VOLUMES]),
            ("MountedFileMissing", &[IMAGE, VOLUMES]),
            ("PrivilegedPort", &[IMAGE, SECURITY]),
            ("UnquotedExpansion", &[COMMAND, ENV]),
            ("MissingSecretKey", &[IMAGE, COMMAND, ENV, VOLUMES]),
            ("OutOfMemory", &[IMAGE, COMMAND, ENV, VOLUMES, RESOURCES, SECURITY]),
            ("RetryStorm", &[IMAGE, COMMAND, ENV, VOLUMES, RESOURCES, SECURITY]),
            ("ProbeTooStrict", &[ENV, PROBE]),
            ("CredentialsRefused", &[COMMAND, ENV, VOLUMES]),
            ("CpuThrottled", &[RESOURCES]),
            ("NodeSelectorMatchesNothing", &[PLACE]),
            ("TopologySpreadUnsatisfiable", &[SPREAD]),
            ("TaintNotTolerated", &[TOLERATIONS]),
            ("PodSecurityViolated", &[SECURITY]),
            ("ServiceSelectsNothing", &[]),
        ] {
            for change in ALL {
                assert_eq!(touches(category, change), by.contains(&change), "{category}: {change}");
            }
        }
    }

    #[test]
    fn a_revision_that_was_replaced_at_once_proves_nothing() {
        const NOON: Option<&str> = Some("2026-03-01T12:00:00Z");
        let name = ObjectName::namespaced("ReplicaSet", "n", "web-1");
        let revision = |created: Option<&str>, ready| Revision {
            number: 1,
            name: &name,
            template: std::borrow::Cow::default(),
            created: created.map(|at| at.parse().unwrap()),
            ready,
            evidence: "E1",
        };
        for (before, ready, now, proves) in [
            (NOON, 0, Some("2026-03-01T12:00:04Z"), false),
            (NOON, 0, Some("2026-03-01T12:00:05Z"), true),
            (NOON, 0, Some("2026-03-01T12:10:00Z"), true),
            (NOON, 1, Some("2026-03-01T12:00:01Z"), true),
            // An older ReplicaSet that is rolled back to.
            (NOON, 0, Some("2026-03-01T11:00:00Z"), true),
            (NOON, 0, NOON, false),
            (None, 0, NOON, true),
            (NOON, 0, None, true),
        ] {
            assert_eq!(
                lived(&revision(now, 0), &revision(before, ready)),
                proves,
                "{before:?} {ready} {now:?}"
            );
        }
    }
}
