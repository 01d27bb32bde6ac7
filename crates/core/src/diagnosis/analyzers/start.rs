//! Containers that the runtime cannot start: the command is not in the image or not executable, the image is for another platform,
//! root is refused, the working directory or a mounted path is missing.
//!
//! Evidence: the container's waiting or terminated state, and events. Looks alike: a program that starts and then ends with 127
//! because a command inside its script is missing; that is `signatures`' work.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{Container, VolumeMount};
use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload, ended, waiting};
use crate::diagnosis::finding::{Depth, Finding};
use crate::text::clip;

static EXECUTABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"exec: "([^"]+)":? ?(.*)"#).ok());

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "CommandNotFound",
        "The container's command is not in its image.",
        "The runtime's message: executable file not found, no such file or directory.",
        "A script that starts and then misses a command inside (exit code 127): told from its log.",
    ),
    known(
        "CommandNotExecutable",
        "The container's command is there and may not be executed.",
        "The runtime's message: permission denied.",
        "A program that starts and is refused a file later.",
    ),
    known(
        "WrongPlatform",
        "The image is for another processor architecture.",
        "exec format error.",
        "A script without its first line (#!), which gives the same message.",
    ),
    known(
        "RunAsRootRefused",
        "runAsNonRoot is set and the image runs as root, or names its user.",
        "The kubelet's message in the waiting state.",
        "A program that runs as another user and is refused a file.",
    ),
    known(
        "MountHidesProgram",
        "A volume is mounted over the directory that holds the program.",
        "The runtime's message (no such file), the container's mounts.",
        "A program that the image never had.",
    ),
    known(
        "MemoryLimitTooLow",
        "The memory limit is so low that the container cannot even start.",
        "The runtime's message: container init was OOM-killed.",
        "A program that starts and is killed for memory later (OOMKilled).",
    ),
    known(
        "EntrypointMissing",
        "Neither the container nor its image says what to run.",
        "The runtime's message: no command specified.",
        "A command that is named and not there.",
    ),
    known(
        "MountPathConflict",
        "A file is mounted over a directory or the other way round, or a subPath cannot be prepared.",
        "The runtime's message: not a directory; failed to prepare subPath.",
        "A ConfigMap or claim that is missing.",
    ),
    known(
        "WorkingDirectoryMissing",
        "The container's working directory cannot be entered.",
        "The runtime's message: chdir to cwd.",
        "A command that is not there.",
    ),
    known(
        "UserUnknown",
        "The container should run as a user that its image does not know.",
        "The runtime's message: unable to find user.",
        "runAsNonRoot, which the kubelet refuses itself.",
    ),
    known(
        "SecurityProfileMissing",
        "The container asks for a seccomp or AppArmor profile that the node does not have.",
        "The runtime's message.",
        "A PodSecurity level that refuses the pod: then it is never made.",
    ),
    known(
        "CannotStart",
        "The runtime refuses the container for another reason.",
        "The runtime's message.",
        "A program that starts and ends.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        let finding = workload
            .pods
            .iter()
            .flat_map(|pod| pod.statuses().map(move |(status, init)| (pod, status, init)))
            .find_map(|(pod, status, init)| of_container(view, workload, pod, status, init));
        found.extend(finding);
    }
    found
}

fn of_container(
    view: &View<'_>,
    workload: &Workload<'_>,
    pod: &PodFacts<'_>,
    status: &k8s_openapi::api::core::v1::ContainerStatus,
    init: bool,
) -> Option<Finding> {
    let from_wait = waiting(status)
        .filter(|(reason, _)| {
            matches!(
                *reason,
                "RunContainerError" | "CreateContainerError" | "CreateContainerConfigError" | "CrashLoopBackOff"
            )
        })
        .map(|(_, message)| message);
    let from_end = ended(status)
        .filter(|end| matches!(end.reason, "StartError" | "ContainerCannotRun"))
        .map(|end| end.message);
    let event = view.facts.events(pod.name).iter().copied().find(|event| {
        event.reason == "Failed" && event.message.contains("container") && classify(&event.message).is_some()
    });
    let (message, evidence) = [from_end, from_wait]
        .into_iter()
        .flatten()
        .find(|message| classify(message).is_some())
        .map(|message| (message.to_owned(), pod.evidence))
        .or_else(|| {
            let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
            event
                .filter(|_| !running && (from_wait.is_some() || from_end.is_some()))
                .map(|event| (event.message.clone(), event.evidence.as_str()))
        })?;
    let (mut category, what) = classify(&message)?;
    let kind = if init { "init container" } else { "container" };
    let spec = workload.container(&status.name);
    let command: Vec<&str> = spec
        .into_iter()
        .flat_map(|c| c.command.iter().flatten().chain(c.args.iter().flatten()))
        .map(String::as_str)
        .collect();
    let hiding = what
        .as_deref()
        .filter(|_| category == "CommandNotFound")
        .and_then(|program| hidden_by(spec?, program));
    if hiding.is_some() {
        category = "MountHidesProgram";
    }
    let agreeing = u8::from(event.is_some()) + u8::from(what.as_deref().is_some_and(|what| command.contains(&what)));
    let text = match (category, &what) {
        ("MountHidesProgram", Some(command)) => format!(
            "{kind} {} of {} cannot find {command}: the volume {} is mounted over {}, which hides what the image has there (no such file)",
            status.name,
            workload.name,
            hiding.map_or("", |mount| mount.name.as_str()),
            hiding.map_or("", |mount| mount.mount_path.as_str())
        ),
        ("CommandNotFound", Some(command)) => format!(
            "{kind} {} of {} runs the command {command}, which does not exist in its image: executable file not found{}",
            status.name,
            workload.name,
            usual_command(command).map_or(String::new(), |usual| format!(" (perhaps {usual} was meant)"))
        ),
        ("CommandNotExecutable", Some(command)) => {
            format!(
                "{kind} {} of {} may not execute {command}: permission denied",
                status.name, workload.name
            )
        }
        ("WrongPlatform", _) => format!(
            "the image of {kind} {} of {} is for another processor: exec format error",
            status.name, workload.name
        ),
        ("RunAsRootRefused", _) => format!(
            "{kind} {} of {} must not run as root, and its image does",
            status.name, workload.name
        ),
        ("MemoryLimitTooLow", _) => format!(
            "{kind} {} of {} cannot even start within its memory limit of {} (killed out of memory at its start)",
            status.name,
            workload.name,
            spec.and_then(|c| super::memory::limit_of(c, "memory"))
                .unwrap_or("its pod")
        ),
        ("EntrypointMissing", _) => format!(
            "{kind} {} of {} has no command, and its image has no entrypoint",
            status.name, workload.name
        ),
        ("MountPathConflict", _) => format!(
            "a mount of {kind} {} of {} does not fit: a file is mounted over a directory or the other way round, or its subPath cannot be prepared ({})",
            status.name,
            workload.name,
            clip(&message, 240)
        ),
        ("WorkingDirectoryMissing", _) => format!(
            "the working directory {} of {kind} {} of {} cannot be entered",
            spec.and_then(|c| c.working_dir.as_deref()).unwrap_or("of the image"),
            status.name,
            workload.name
        ),
        ("UserUnknown", _) => format!(
            "{kind} {} of {} should run as a user or group that its image does not know ({})",
            status.name,
            workload.name,
            clip(&message, 200)
        ),
        ("SecurityProfileMissing", _) => format!(
            "{kind} {} of {} asks for a seccomp or AppArmor profile that its node does not have ({})",
            status.name,
            workload.name,
            clip(&message, 200)
        ),
        _ => format!(
            "{kind} {} of {} cannot be started: {}",
            status.name,
            workload.name,
            clip(&message, 300)
        ),
    };
    let instruction = match category {
        "CommandNotFound" => format!(
            "correct the command of {kind} {} (a bare pod must be made anew: its spec is immutable), or use an image that has it",
            status.name
        ),
        "MountHidesProgram" => "mount the volume at a path of its own, or single files by subPath".to_owned(),
        "CommandNotExecutable" => {
            "make the file executable in the image, or start it through its interpreter".to_owned()
        }
        "WrongPlatform" => "build the image for the nodes' platform, or select nodes of the image's".to_owned(),
        "RunAsRootRefused" => {
            "set runAsUser to a user that the image supports, or use an image that does not need root".to_owned()
        }
        "MemoryLimitTooLow" => {
            "raise limits.memory to what the program needs; a few MiB do not even start one".to_owned()
        }
        "EntrypointMissing" => format!(
            "give container {} a command, or build the image with an entrypoint",
            status.name
        ),
        "MountPathConflict" => {
            "mount a directory on a directory, and a single file by the subPath that its ConfigMap or Secret really has"
                .to_owned()
        }
        "WorkingDirectoryMissing" => "correct workingDir, or make it accessible to the container's user".to_owned(),
        "UserUnknown" => "name the user by number in runAsUser, or use an image that knows it".to_owned(),
        "SecurityProfileMissing" => "load the profile on every node, or use RuntimeDefault".to_owned(),
        _ => "see the message; the container's spec and its image do not fit together".to_owned(),
    };
    Some(
        claim(category, &workload.name, Depth::Fault, Basis::Stated, agreeing)
            .says(text)
            .cites(
                [evidence, pod.evidence, workload.evidence]
                    .into_iter()
                    .chain(event.map(|event| event.evidence.as_str())),
            )
            .since(pod.created())
            .manual(instruction)
            .done(),
    )
}

/// The mount that lies over the directory of a program.
fn hidden_by<'c>(container: &'c Container, program: &str) -> Option<&'c VolumeMount> {
    container.volume_mounts.iter().flatten().find(|mount| {
        let path = mount.mount_path.trim_end_matches('/');
        mount.sub_path.is_none()
            && path.len() > 1
            && program.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
    })
}

fn classify(message: &str) -> Option<(&'static str, Option<String>)> {
    let lower = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let command = EXECUTABLE
        .as_ref()
        .and_then(|regex| regex.captures(message))
        .and_then(|captures| captures.get(1))
        .map(|m| m.as_str().to_owned());
    if has(&["init was oom-killed", "memory limit too low"]) {
        Some(("MemoryLimitTooLow", None))
    } else if has(&["no command specified", "no entrypoint", "no command or entrypoint"]) {
        Some(("EntrypointMissing", None))
    } else if has(&[
        "mount a directory onto a file",
        "not a directory: unknown",
        "failed to prepare subpath",
        "failed to create subpath",
    ]) {
        Some(("MountPathConflict", None))
    } else if has(&["chdir to cwd", "mkdir /proc/self/cwd"]) {
        Some(("WorkingDirectoryMissing", None))
    } else if has(&[
        "unable to find user",
        "unable to find group",
        "no matching entries in passwd",
        "no matching entries in group",
    ]) {
        Some(("UserUnknown", None))
    } else if has(&[
        "apparmor profile",
        "seccomp profile",
        "seccomp-profile",
        "loading seccomp",
    ]) {
        Some(("SecurityProfileMissing", None))
    } else if lower.contains("executable file not found")
        || (command.is_some() && lower.contains("no such file or directory"))
    {
        Some(("CommandNotFound", command))
    } else if lower.contains("exec format error") {
        Some(("WrongPlatform", command))
    } else if lower.contains("runasnonroot") || lower.contains("image will run as root") {
        Some(("RunAsRootRefused", None))
    } else if command.is_some() && lower.contains("permission denied") {
        Some(("CommandNotExecutable", command))
    } else if lower.contains("oci runtime create failed") || lower.contains("failed to create containerd task") {
        Some(("CannotStart", None))
    } else {
        None
    }
}

/// A command that nearly every image has, one letter away.
fn usual_command(command: &str) -> Option<&'static str> {
    const USUAL: [&str; 32] = [
        "wget",
        "curl",
        "bash",
        "sh",
        "python",
        "python3",
        "node",
        "java",
        "npm",
        "go",
        "ruby",
        "php",
        "nginx",
        "redis-server",
        "sleep",
        "echo",
        "cat",
        "cp",
        "mv",
        "ls",
        "tar",
        "git",
        "nc",
        "ping",
        "psql",
        "mysql",
        "kubectl",
        "chmod",
        "chown",
        "mkdir",
        "sed",
        "awk",
    ];
    USUAL.into_iter().find(|usual| {
        *usual != command && command.len() >= 2 && crate::diagnosis::similar::distance(command, usual) == 1
    })
}
