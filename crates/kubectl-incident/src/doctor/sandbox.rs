//! How the sandbox stands: its namespace, what it may cost, its identities, and whether its image starts. Pure. Called by `judge`.

use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota};
use kube::ResourceExt;

use super::facts::{Facts, Read};
use super::{Judgement, Level};

const SANDBOX: &str = "Sandbox";
const IMAGE: &str = "Sandbox image";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const ACCOUNTS: [&str; 4] = ["sre-investigator", "code-analyst", "analyze", "remediation-executor"];

pub(super) fn judge(facts: &Facts, image: Option<&str>) -> Vec<Judgement> {
    let name = &facts.sandbox_namespace;
    let mut found = Vec::new();
    match &facts.sandbox {
        Read::Not(why) => found.push(Judgement::not_read(SANDBOX, why)),
        Read::Got(None) => {
            return vec![Judgement::fault(
                SANDBOX,
                format!("namespace {name} does not exist: no evidence can be collected"),
                "install the chart again (helm upgrade); the value sandbox.namespace names it",
            )];
        }
        Read::Got(Some(namespace)) => found.extend(of_namespace(namespace)),
    }
    match &facts.quotas {
        Read::Not(why) => found.push(Judgement::not_read(SANDBOX, why)),
        Read::Got(quotas) if quotas.is_empty() => found.push(Judgement::fault(
            SANDBOX,
            format!("namespace {name} has no ResourceQuota: what a flood of Jobs can cost is not bounded"),
            "install the chart again (helm upgrade); the value sandbox.quota sets it",
        )),
        Read::Got(quotas) => found.extend(quotas.iter().filter_map(of_quota)),
    }
    match &facts.accounts {
        Read::Not(why) => found.push(Judgement::not_read(SANDBOX, why)),
        Read::Got(accounts) => {
            for missing in ACCOUNTS
                .iter()
                .filter(|wanted| !accounts.iter().any(|one| one == *wanted))
            {
                found.push(Judgement::fault(
                    SANDBOX,
                    format!("ServiceAccount {name}/{missing} does not exist: its pods cannot start"),
                    "install the chart again (helm upgrade)",
                ));
            }
        }
    }
    match &facts.priority_class {
        Read::Not(why) => found.push(Judgement::not_read(SANDBOX, why)),
        Read::Got(false) => found.push(Judgement::fault(
            SANDBOX,
            "PriorityClass firewatch-sandbox does not exist: every sandbox pod is refused",
            "install the chart again (helm upgrade)",
        )),
        Read::Got(true) => {}
    }
    if found.is_empty() {
        found.push(Judgement::well(
            SANDBOX,
            format!("namespace {name} enforces restricted pods, and has quota and identities"),
        ));
    }
    found.extend(of_image(facts, image));
    found
}

fn of_namespace(namespace: &Namespace) -> Option<Judgement> {
    let name = namespace.name_any();
    if namespace.metadata.deletion_timestamp.is_some() {
        return Some(Judgement::fault(
            SANDBOX,
            format!("namespace {name} is being deleted"),
            "wait until it is gone, then install the chart again (helm upgrade)",
        ));
    }
    let level = namespace.labels().get(ENFORCE);
    (level.map(String::as_str) != Some("restricted")).then(|| {
        Judgement::fault(
            SANDBOX,
            format!(
                "namespace {name} does not enforce PodSecurity restricted ({ENFORCE} is {})",
                level.map_or("not set", String::as_str)
            ),
            format!("kubectl label namespace {name} {ENFORCE}=restricted --overwrite"),
        )
    })
}

/// A quota of which something is used up.
fn of_quota(quota: &ResourceQuota) -> Option<Judgement> {
    let status = quota.status.as_ref()?;
    let used_up: Vec<String> = status
        .hard
        .iter()
        .flatten()
        .filter(|(key, hard)| {
            let number = |text: &str| text.parse::<u64>().ok();
            let used = status.used.as_ref().and_then(|used| used.get(*key));
            match (used.and_then(|used| number(&used.0)), number(&hard.0)) {
                (Some(used), Some(hard)) => used >= hard,
                _ => used.is_some_and(|used| used == *hard),
            }
        })
        .map(|(key, hard)| format!("{key} {}", hard.0))
        .collect();
    (!used_up.is_empty()).then(|| {
        Judgement::fault(
            SANDBOX,
            format!("ResourceQuota {} is used up: {}", quota.name_any(), used_up.join(", ")),
            "wait for Jobs to end, look what fills it (kubectl get jobs,configmaps), or raise sandbox.quota of the chart",
        )
    })
}

fn of_image(facts: &Facts, image: Option<&str>) -> Vec<Judgement> {
    let mut found = Vec::new();
    let Read::Got(pods) = &facts.sandbox_pods else {
        if let Read::Not(why) = &facts.sandbox_pods {
            found.push(Judgement::not_read(IMAGE, why));
        }
        return found;
    };
    let image = image.unwrap_or("(not set)");
    if let Some((pod, reason, message)) = pods.iter().find_map(waiting) {
        if reason.contains("Image") {
            found.push(Judgement::fault(
                IMAGE,
                format!("{image} cannot be pulled: pod {pod} says {reason}: {message}"),
                "make the image reachable from the nodes (name, registry, pull secret), or set sandbox.image of the chart",
            ));
        } else if message.contains("seccomp") {
            found.push(Judgement::fault(
                IMAGE,
                format!("pod {pod} cannot start: {message}"),
                "put config/seccomp/firewatch-sandbox.json on every node, or set sandbox.seccompProfile of the chart to \"\"",
            ));
        } else {
            found.push(Judgement::fault(
                IMAGE,
                format!("pod {pod} cannot start: {reason}: {message}"),
                format!("kubectl describe pod {pod} --namespace={}", facts.sandbox_namespace),
            ));
        }
    } else if pods.iter().any(has_run) {
        found.push(Judgement::well(IMAGE, format!("{image} was pulled and has run")));
    } else {
        found.push(Judgement::new(
            IMAGE,
            Level::Note,
            format!("no sandbox pod is there now; whether {image} can be pulled shows with the first incident"),
            "kubectl incident run crashloop",
        ));
    }
    if !image.contains("@sha256:") {
        found.push(Judgement::new(
            IMAGE,
            Level::Warning,
            format!("{image} is not named by digest: what it is can change behind the guards"),
            "set sandbox.image of the chart to NAME@sha256:DIGEST",
        ));
    }
    found
}

/// A container that does not start: pod, reason, message.
pub(super) fn waiting(pod: &Pod) -> Option<(String, String, String)> {
    let status = pod.status.as_ref()?;
    status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten()
        .find_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            let reason = waiting.reason.clone()?;
            // A pod that is just being made is not stuck.
            (!matches!(reason.as_str(), "ContainerCreating" | "PodInitializing"))
                .then(|| (pod.name_any(), reason, waiting.message.clone().unwrap_or_default()))
        })
}

fn has_run(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
        .any(|container| {
            container
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        })
}
