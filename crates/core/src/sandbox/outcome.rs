//! What became of a sandbox pod, from its status: so that a pod that cannot start is told as what it is within seconds. Pure.

use k8s_openapi::api::core::v1::Pod;

use crate::incident::Reason;

/// What became of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodOutcome {
    /// Not ended, and nothing says that it cannot.
    Running,
    /// The container ended; its log and termination message are to be read.
    Ended {
        /// Exit code of the runner.
        exit_code: i32,
        /// The runner's termination message.
        termination: Option<String>,
    },
    /// It ended, or never began, without a result.
    Failed {
        /// Closed reason.
        reason: Reason,
        /// What the kubelet said.
        message: String,
    },
}

/// Reads a pod's status.
pub fn of(pod: &Pod) -> PodOutcome {
    let Some(status) = &pod.status else {
        return PodOutcome::Running;
    };
    let container = status.container_statuses.iter().flatten().next();
    if let Some(terminated) = container
        .and_then(|c| c.state.as_ref())
        .and_then(|s| s.terminated.as_ref())
    {
        let reason = terminated.reason.clone().unwrap_or_default();
        return match reason.as_str() {
            "OOMKilled" => failed(
                Reason::SandboxOutOfMemory,
                "the runner's container was killed at its memory limit",
            ),
            // The container runtime could not start it.
            "StartError" | "ContainerCannotRun" => {
                failed(Reason::SandboxFailed, &terminated.message.clone().unwrap_or(reason))
            }
            _ if status.reason.as_deref() == Some("DeadlineExceeded") => deadline(),
            _ => PodOutcome::Ended {
                exit_code: terminated.exit_code,
                termination: terminated.message.clone(),
            },
        };
    }
    if let Some(waiting) = container
        .and_then(|c| c.state.as_ref())
        .and_then(|s| s.waiting.as_ref())
    {
        let message = waiting.message.clone().unwrap_or_default();
        match waiting.reason.as_deref() {
            Some(
                reason @ ("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull"
                | "ImageInspectError"),
            ) => {
                return failed(Reason::SandboxImagePullFailed, &format!("{reason}: {message}"));
            }
            Some(reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError")) => {
                return failed(Reason::SandboxFailed, &format!("{reason}: {message}"));
            }
            _ => {}
        }
    }
    if status.phase.as_deref() == Some("Failed") {
        return match status.reason.as_deref() {
            Some("DeadlineExceeded") => deadline(),
            Some(reason) => failed(
                Reason::SandboxFailed,
                &format!("{reason}: {}", status.message.clone().unwrap_or_default()),
            ),
            None => failed(Reason::SandboxFailed, "the pod failed and left no word"),
        };
    }
    let unschedulable = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let (Some(condition), Some("Pending")) = (unschedulable, status.phase.as_deref())
        && pod.metadata.deletion_timestamp.is_some()
    {
        return failed(Reason::SandboxFailed, &condition.message.clone().unwrap_or_default());
    }
    PodOutcome::Running
}

fn failed(reason: Reason, message: &str) -> PodOutcome {
    PodOutcome::Failed {
        reason,
        message: message.to_owned(),
    }
}

fn deadline() -> PodOutcome {
    failed(Reason::SandboxTimedOut, "the pod did not end within its deadline")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]
    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({ "status": status })).unwrap()
    }

    fn container(state: serde_json::Value) -> serde_json::Value {
        serde_json::json!([{ "name": "runner", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state }])
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_told_as_that_while_the_pod_is_still_pending() {
        let waiting = serde_json::json!({ "waiting": { "reason": "ErrImagePull", "message": "not found" } });
        let seen = of(&pod(
            serde_json::json!({ "phase": "Pending", "containerStatuses": container(waiting) }),
        ));
        assert_eq!(seen, failed(Reason::SandboxImagePullFailed, "ErrImagePull: not found"));
    }

    #[test]
    fn an_end_at_the_memory_limit_and_an_end_at_the_deadline_are_told_apart() {
        let oom = serde_json::json!({ "terminated": { "reason": "OOMKilled", "exitCode": 137 } });
        assert!(matches!(
            of(&pod(
                serde_json::json!({ "phase": "Failed", "containerStatuses": container(oom) })
            )),
            PodOutcome::Failed {
                reason: Reason::SandboxOutOfMemory,
                ..
            }
        ));
        let killed = serde_json::json!({ "terminated": { "reason": "Error", "exitCode": 137 } });
        let late = serde_json::json!({ "phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": container(killed) });
        assert!(matches!(
            of(&pod(late)),
            PodOutcome::Failed {
                reason: Reason::SandboxTimedOut,
                ..
            }
        ));
    }

    #[test]
    fn a_pod_without_status_is_still_running() {
        assert_eq!(of(&Pod::default()), PodOutcome::Running);
    }
}
