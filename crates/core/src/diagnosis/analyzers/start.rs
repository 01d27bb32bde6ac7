//! Containers that the runtime cannot start: the command is not in the image or not executable, the image is for another platform,
//! root is refused, the working directory or a mounted path is missing.
//!
//! Evidence: the container's waiting or terminated state, and events. Looks alike: a program that starts and then ends with 127
//! because a command inside its script is missing; that is `signatures`' work.

use std::sync::LazyLock;

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
    let (category, what) = classify(&message)?;
    let kind = if init { "init container" } else { "container" };
    let spec = workload.container(&status.name);
    let command: Vec<&str> = spec
        .into_iter()
        .flat_map(|c| c.command.iter().flatten().chain(c.args.iter().flatten()))
        .map(String::as_str)
        .collect();
    let agreeing = u8::from(event.is_some()) + u8::from(what.as_deref().is_some_and(|what| command.contains(&what)));
    let text = match (category, &what) {
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
        "CommandNotExecutable" => {
            "make the file executable in the image, or start it through its interpreter".to_owned()
        }
        "WrongPlatform" => "build the image for the nodes' platform, or select nodes of the image's".to_owned(),
        "RunAsRootRefused" => {
            "set runAsUser to a user that the image supports, or use an image that does not need root".to_owned()
        }
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

fn classify(message: &str) -> Option<(&'static str, Option<String>)> {
    let lower = message.to_ascii_lowercase();
    let command = EXECUTABLE
        .as_ref()
        .and_then(|regex| regex.captures(message))
        .and_then(|captures| captures.get(1))
        .map(|m| m.as_str().to_owned());
    if lower.contains("executable file not found") || (command.is_some() && lower.contains("no such file or directory"))
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
