//! Files and directories that a program's log names, by the volume that they lie on: a claim that is full, a mount that is read-only or
//! belongs to another user, a key that a mounted ConfigMap does not have, a subPath that is none of its keys.
//!
//! Evidence: the log of a container that fails, its mounts, ConfigMaps. Secrets are never read: only that a path lies on one is said.
//! Looks alike: paths that lie on no volume, which stay with `signatures`.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{ConfigMap, Container, KeyToPath, Volume, VolumeMount};
use regex::Regex;

use super::{KnownCause, View, claim, known, merge};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{Group, Signature};
use crate::diagnosis::similar::closest;
use crate::text::clip;

static PATH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(/[\w@%+.-]+(?:/[\w@%+.-]+)*)").ok());

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "VolumeFull",
        "The volume of a claim has no space left.",
        "The log names a path on the claim: no space left on device.",
        "A node's disk that is full; shared memory (/dev/shm), for which the words are the same.",
    ),
    known(
        "MountReadOnly",
        "The program writes where its volume is mounted read-only: readOnly, or a ConfigMap or Secret.",
        "The log names a path on that mount: read-only file system.",
        "A file system that went read-only by an error.",
    ),
    known(
        "RootFileSystemReadOnly",
        "The program writes to its image's file system, which readOnlyRootFilesystem protects.",
        "The log names a path on no volume: read-only file system; securityContext.",
        "A mount that is read-only.",
    ),
    known(
        "VolumeTurnedReadOnly",
        "A volume that is mounted writable refuses writes: the kernel has made it read-only after an error.",
        "The log names a path on that volume: read-only file system; the mount is writable.",
        "A mount that is read-only by its spec.",
    ),
    known(
        "VolumeNotWritable",
        "The program runs as a user to whom the volume does not belong.",
        "The log names a path on the volume: permission denied; runAsUser without fsGroup.",
        "A file of the image that may not be read.",
    ),
    known(
        "MountedFileMissing",
        "The program reads a file that the mounted ConfigMap or Secret does not have under that name.",
        "The log names a path below the mount: no such file; the ConfigMap's keys.",
        "A ConfigMap that does not exist: then the pod does not start.",
    ),
    known(
        "WrongSubPath",
        "A subPath names no key of its ConfigMap, so that an empty directory is mounted where a file should be.",
        "The mount beside the ConfigMap's keys, a pod that is not ready.",
        "A claim, on which a subPath is made where it is missing.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        for (at, group, evidence) in view.logs.of(&workload.name) {
            if let Some(finding) = judge(view, workload, at, group, evidence) {
                merge(&mut found, finding);
            }
        }
        found.extend(sub_path(view, workload));
    }
    found
}

/// Whether this analyzer names more exactly what that group says.
pub(super) fn explains(view: &View<'_>, workload: &Workload<'_>, at: usize, group: &Group, evidence: &str) -> bool {
    judge(view, workload, at, group, evidence).is_some()
}

/// A mount and its volume.
struct Place<'p> {
    path: String,
    mount: &'p VolumeMount,
    volume: &'p Volume,
}

fn judge(view: &View<'_>, workload: &Workload<'_>, at: usize, group: &Group, evidence: &str) -> Option<Finding> {
    let concerns = matches!(
        group.signature,
        Signature::DiskFull | Signature::ReadOnly | Signature::PermissionDenied | Signature::FileMissing
    );
    if !concerns
        || !super::signatures::counts(view, workload, at, group)
        || !(super::signatures::is_failing(workload, view, at) || group.signature == Signature::DiskFull)
        || super::surroundings::names(&group.sample)
    {
        return None;
    }
    let log = view.facts.case.logs().get(at)?;
    let container = workload.container(&log.container)?;
    let place = place(workload, container, &group.sample);
    let quoted = format!("(\"{}\")", clip(&group.sample, 160));
    let fault = |category: &str, agreeing| {
        claim(category, &workload.name, Depth::Fault, Basis::Logged, agreeing)
            .cites([evidence, workload.evidence])
            .since(group.first)
    };
    let who = format!("container {} of {}", container.name, workload.name);
    match (group.signature, place) {
        (Signature::DiskFull, Some(place)) => {
            let source = place.volume.persistent_volume_claim.as_ref()?;
            let object =
                ObjectName::namespaced("PersistentVolumeClaim", workload.namespace(), source.claim_name.clone());
            let entry = view.facts.case.entry(&object);
            Some(
                claim(
                    "VolumeFull",
                    &object,
                    Depth::Fault,
                    Basis::Logged,
                    1 + u8::from(entry.is_some()),
                )
                .says(format!(
                    "the volume of {object}, mounted at {} in {who}, is full: no space is left {quoted}",
                    place.mount.mount_path
                ))
                .cites(
                    [evidence, workload.evidence]
                        .into_iter()
                        .chain(entry.map(|entry| entry.evidence.as_str())),
                )
                .affects([workload.name.clone()])
                .since(group.first)
                .manual("free space on the volume, or enlarge the claim where its class allows expansion")
                .done(),
            )
        }
        (Signature::ReadOnly, Some(place)) => Some(read_only(&place, &who, &quoted, &fault)),
        (Signature::ReadOnly, None) => {
            let protected = container
                .security_context
                .as_ref()
                .and_then(|context| context.read_only_root_filesystem)
                == Some(true);
            let path = first_path(&group.sample).unwrap_or_default();
            protected.then(|| {
                fault("RootFileSystemReadOnly", 2)
                    .says(format!(
                        "{who} writes to {path} in its image, and readOnlyRootFilesystem makes that a read-only file system {quoted}"
                    ))
                    .manual(format!("mount an emptyDir where it writes ({path})"))
                    .done()
            })
        }
        (Signature::PermissionDenied, Some(place)) => not_writable(workload, container, &place, &who, &quoted, &fault),
        (Signature::FileMissing, Some(place)) => missing(view, workload, &place, &who, &quoted, &fault),
        _ => None,
    }
}

fn read_only(place: &Place<'_>, who: &str, quoted: &str, fault: &dyn Fn(&str, u8) -> super::Claim) -> Finding {
    let volume = place.volume;
    let path = &place.mount.mount_path;
    let fixed = volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some();
    let by_claim = volume
        .persistent_volume_claim
        .as_ref()
        .is_some_and(|source| source.read_only == Some(true));
    let why = if place.mount.read_only == Some(true) || by_claim {
        "mounted readOnly"
    } else if fixed {
        "a ConfigMap, Secret or projection, which is always mounted read-only"
    } else {
        return fault("VolumeTurnedReadOnly", 1)
            .says(format!(
                "{who} cannot write to {path}: its volume {} is mounted writable and has become a read-only file system {quoted}",
                volume.name
            ))
            .manual("look at the node's kernel log and the storage: a file system turns read-only after errors; check it before it is used again")
            .done();
    };
    fault("MountReadOnly", 2)
        .says(format!(
            "{who} writes to {}, and its volume {} at {path} is {why}: read-only file system {quoted}",
            place.path, volume.name
        ))
        .manual(format!(
            "mount {path} writable where that is meant, or let the program write to an emptyDir"
        ))
        .done()
}

fn not_writable(
    workload: &Workload<'_>,
    container: &Container,
    place: &Place<'_>,
    who: &str,
    quoted: &str,
    fault: &dyn Fn(&str, u8) -> super::Claim,
) -> Option<Finding> {
    let volume = place.volume;
    if volume.config_map.is_some() || volume.secret.is_some() || volume.projected.is_some() {
        return None;
    }
    let pod = workload.pod_spec()?.security_context.as_ref();
    let own = container.security_context.as_ref();
    let user = own
        .and_then(|context| context.run_as_user)
        .or_else(|| pod.and_then(|context| context.run_as_user));
    let group = pod.and_then(|context| context.fs_group);
    if user == Some(0) || (group.is_some() && volume.host_path.is_none()) {
        return None;
    }
    let shown = user.map_or("its image's user".to_owned(), |user| format!("user {user}"));
    Some(
        fault("VolumeNotWritable", 1 + u8::from(user.is_some()))
            .says(format!(
                "{who} runs as {shown}, to whom the volume {} at {} does not belong (no fsGroup): permission denied {quoted}",
                volume.name, place.mount.mount_path
            ))
            .manual(if volume.host_path.is_some() {
                "give the directory on the node to the container's user; fsGroup does not change a hostPath"
            } else {
                "set securityContext.fsGroup of the pod to the group that the program runs with"
            })
            .done(),
    )
}

fn missing(
    view: &View<'_>,
    workload: &Workload<'_>,
    place: &Place<'_>,
    who: &str,
    quoted: &str,
    fault: &dyn Fn(&str, u8) -> super::Claim,
) -> Option<Finding> {
    let root = place.mount.mount_path.trim_end_matches('/');
    let file = place.path.strip_prefix(root)?.trim_start_matches('/');
    if file.is_empty() || place.mount.sub_path.is_some() {
        return None;
    }
    if let Some(source) = &place.volume.config_map {
        let map = ObjectName::namespaced("ConfigMap", workload.namespace(), source.name.clone());
        let entry = view.facts.case.entry(&map)?;
        let names = files(view, &source.name, source.items.as_deref())?;
        if names.iter().any(|name| name == file) {
            return None;
        }
        let near = closest(file, names.iter().map(String::as_str));
        let hint = near.first().map_or_else(
            || {
                format!(
                    "its files are {}",
                    names.iter().take(6).cloned().collect::<Vec<_>>().join(", ")
                )
            },
            |name| format!("it has {name}"),
        );
        return Some(
            fault("MountedFileMissing", 2)
                .says(format!(
                    "{who} needs {}, and {map}, mounted at {}, has no such file (missing key {file}): {hint} {quoted}",
                    place.path, place.mount.mount_path
                ))
                .cites([entry.evidence.as_str()])
                .manual(format!(
                    "add the key {file} to {map}, or let the program read the file that is there ({hint})"
                ))
                .done(),
        );
    }
    let secret = place.volume.secret.as_ref()?.secret_name.as_deref()?;
    Some(
        fault("MountedFileMissing", 1)
            .says(format!(
                "{who} needs {}, and Secret {secret}, mounted at {}, gives it no such file (missing key {file}?) {quoted}",
                place.path, place.mount.mount_path
            ))
            .manual(format!(
                "see which keys Secret {secret} has (kubectl describe secret {secret} shows names only); Firewatch never reads Secrets"
            ))
            .done(),
    )
}

/// Names of the files that a ConfigMap volume shows.
fn files(view: &View<'_>, map: &str, items: Option<&[KeyToPath]>) -> Option<Vec<String>> {
    if let Some(items) = items.filter(|items| !items.is_empty()) {
        return Some(items.iter().map(|item| item.path.clone()).collect());
    }
    let map = view.facts.case.get::<ConfigMap>(map)?;
    let text = map.data.iter().flatten().map(|(key, _)| key.clone());
    let binary = map.binary_data.iter().flatten().map(|(key, _)| key.clone());
    Some(text.chain(binary).collect())
}

fn first_path(text: &str) -> Option<&str> {
    PATH.as_ref()?.find(text).map(|m| m.as_str())
}

/// The mount on which a path of that line lies; the innermost.
fn place<'p>(workload: &Workload<'p>, container: &'p Container, text: &str) -> Option<Place<'p>> {
    let volumes: Vec<&'p Volume> = workload.pod_spec()?.volumes.iter().flatten().collect();
    PATH.as_ref()?.find_iter(text).find_map(|path| {
        let path = path.as_str();
        let mount = container
            .volume_mounts
            .iter()
            .flatten()
            .filter(|mount| {
                let root = mount.mount_path.trim_end_matches('/');
                path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
            })
            .max_by_key(|mount| mount.mount_path.len())?;
        let volume = volumes.iter().find(|volume| volume.name == mount.name)?;
        Some(Place {
            path: path.to_owned(),
            mount,
            volume,
        })
    })
}

/// A subPath that none of the ConfigMap's files is: the kubelet makes an empty directory.
fn sub_path(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let spec = workload.pod_spec()?;
    let ill = workload
        .pods
        .iter()
        .find(|pod| !pod.is_ready() && !pod.is_over() && !pod.is_going())?;
    let (container, mount, map, names) = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .flat_map(|container| {
            container
                .volume_mounts
                .iter()
                .flatten()
                .map(move |mount| (container, mount))
        })
        .find_map(|(container, mount)| {
            let sub_path = mount.sub_path.as_deref()?;
            let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
            let source = volume.config_map.as_ref()?;
            let names = files(view, &source.name, source.items.as_deref())?;
            let inside = |name: &String| {
                name == sub_path || name.strip_prefix(sub_path).is_some_and(|rest| rest.starts_with('/'))
            };
            (!names.iter().any(inside)).then_some((container, mount, source.name.as_str(), names))
        })?;
    let map = ObjectName::namespaced("ConfigMap", workload.namespace(), map);
    let entry = view.facts.case.entry(&map)?;
    let wanted = mount.sub_path.as_deref().unwrap_or_default();
    let near = closest(wanted, names.iter().map(String::as_str));
    let has = near.first().map_or_else(
        || names.iter().take(6).cloned().collect::<Vec<_>>().join(", "),
        |name| (*name).to_owned(),
    );
    let said = view
        .facts
        .logs(ill.name, &container.name)
        .find(|log| {
            let tail = log.lines.iter().rev().take(40);
            tail.into_iter()
                .any(|line| line.text.to_ascii_lowercase().contains("is a directory") || line.text.contains("EISDIR"))
        })
        .map(|log| log.evidence.as_str());
    Some(
        claim(
            "WrongSubPath",
            &workload.name,
            Depth::Fault,
            Basis::Inferred,
            1 + 2 * u8::from(said.is_some()),
        )
        .says(format!(
            "container {} of {} mounts {} from the subPath {wanted} of {map}, which has no such key (it has {has}): an empty directory is there instead of the file{}",
            container.name,
            workload.name,
            mount.mount_path,
            if said.is_some() { " (the log: is a directory)" } else { "" }
        ))
        .cites([workload.evidence, entry.evidence.as_str(), ill.evidence].into_iter().chain(said))
        .since(ill.created())
        .manual(format!("let subPath name a key that {map} has ({has}), or add the key {wanted}"))
        .done(),
    )
}
