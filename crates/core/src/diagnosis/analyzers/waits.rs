//! Pods that never get to their work, or never end: init containers that wait for something, sidecars that keep a Job running, commands
//! that end at once, hooks and pod sandboxes that fail; rollouts that are paused, budgets that let nothing go.
//!
//! Evidence: container states, specs, events. Looks alike: an init container that merely takes long, which is left alone for a while.

use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Container;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::SignedDuration;
use regex::Regex;

use super::{KnownCause, View, claim, known, nodes};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload, ended, waiting};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::graph::{self, Destination};
use crate::diagnosis::logs::{self, Endpoint};
use crate::diagnosis::remedy::Remedy;
use crate::diagnosis::similar::closest;
use crate::sandbox::command::Resource;
use crate::text::clip;

/// An init container that runs longer than this is waiting for something.
const PATIENCE_SECS: i64 = 20;

/// `nslookup db`, `nc -z db 5432`, `until ping -c1 db`, `/dev/tcp/db/5432`.
static WAITS_FOR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?:nslookup|getent hosts|dig(?: \+\w+)*|host|ping(?: -\w+ ?\d*)*|nc(?: -\w+(?: \d+)?)*|pg_isready -h|mysqladmin ping -h|redis-cli -h|/dev/tcp/|wait-for-it(?:\.sh)?|wait-for)\s*([A-Za-z][A-Za-z0-9.-]*)(?:[ /:](\d{2,5}))?").ok()
});

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "InitContainerWaits",
        "An init container waits for something and does not end.",
        "The container's state, its command, its log.",
        "An init container that merely takes long.",
    ),
    known(
        "SidecarKeepsJob",
        "A sidecar keeps a Job running whose work is done.",
        "One container ended with 0, another runs.",
        "A native sidecar (restartPolicy Always), which ends by itself.",
    ),
    known(
        "CommandEnds",
        "A container's command ends with success, and is started again and again.",
        "Exit code 0, restarts.",
        "A Job, which should end.",
    ),
    known(
        "PodSandboxFails",
        "The node cannot make the pod's sandbox.",
        "FailedCreatePodSandBox events while the containers wait.",
        "A sandbox that failed once and was made.",
    ),
    known(
        "HookFails",
        "The postStart hook fails, so that the container is killed.",
        "FailedPostStartHook events, the hook's command.",
        "A probe that fails; a preStop hook that fails when the container is ended anyway.",
    ),
    known(
        "PreStopFails",
        "The preStop hook fails, so that the container is ended ungracefully; why it is ended is said by another cause.",
        "FailedPreStopHook events.",
        "A postStart hook that fails, which ends the container.",
    ),
    known(
        "RolloutPaused",
        "A Deployment's rollout is paused, so its template is not rolled out.",
        "spec.paused, fewer updated replicas than wanted.",
        "A paused Deployment that is up to date.",
    ),
    known(
        "BudgetBlocksDisruption",
        "A PodDisruptionBudget lets no healthy pod go, so drains wait.",
        "disruptionsAllowed 0 with all pods healthy.",
        "A budget whose pods are ill: the pods are the trouble.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        found.extend(init_container(view, workload));
        found.extend(sidecar(workload));
        found.extend(ends_at_once(workload));
        found.extend(kubelet(view, workload));
    }
    found.extend(paused(view));
    found.extend(budgets(view));
    found
}

fn init_container(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let now = view.facts.case.now();
    let (pod, name) = workload.pods.iter().filter(|pod| !pod.is_going()).find_map(|pod| {
        pod.statuses().filter(|(_, init)| *init).find_map(|(status, _)| {
            let since = status.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0;
            let long = now.duration_since(since) >= SignedDuration::from_secs(PATIENCE_SECS);
            // A sidecar in the init list has started and goes on by design.
            let sidecar = pod
                .pod
                .spec
                .as_ref()?
                .init_containers
                .iter()
                .flatten()
                .any(|c| c.name == status.name && c.restart_policy.as_deref() == Some("Always"));
            (long && !sidecar).then(|| (pod, status.name.clone()))
        })
    })?;
    let container = workload.container(&name)?;
    let log = view.facts.logs(pod.name, &name).next();
    let hosts = awaited(container);
    let said = log.map(|log| {
        log.lines
            .iter()
            .rev()
            .take(20)
            .flat_map(|line| logs::endpoints(&line.text))
            .collect::<Vec<_>>()
    });
    let cited = [pod.evidence, workload.evidence]
        .into_iter()
        .chain(log.map(|log| log.evidence.as_str()));
    let base = |category: &str, depth| {
        claim(
            category,
            &workload.name,
            depth,
            Basis::Stated,
            u8::from(log.is_some()) + 1,
        )
        .cites(cited.clone())
        .since(pod.created())
    };
    let last = log
        .and_then(|log| log.lines.iter().rev().find(|line| !line.text.trim().is_empty()))
        .map_or(String::new(), |line| format!(" (\"{}\")", clip(line.text.trim(), 160)));
    for endpoint in hosts.into_iter().chain(said.into_iter().flatten()) {
        match graph::destination(view.facts.case, workload.namespace(), &endpoint) {
            Destination::Service(service) => {
                return Some(
                    base("InitContainerWaits", Depth::Mechanism)
                        .says(format!(
                            "init container {name} of {} waits for {service} and does not end{last}",
                            workload.name
                        ))
                        .points_to([service.clone()])
                        .manual(format!("see why {service} does not answer"))
                        .done(),
                );
            }
            Destination::UnknownService(service) => {
                let near = closest(
                    &service,
                    view.facts.services.iter().map(|known| known.name.name.as_str()),
                );
                let hint = if near.is_empty() {
                    String::new()
                } else {
                    format!("; Service {} exists", near.join(" and "))
                };
                return Some(
                    base("InitContainerWaits", Depth::Fault)
                        .says(format!(
                            "init container {name} of {} waits for {service}, which no Service of the namespace is called (does not exist){hint}{last}",
                            workload.name
                        ))
                        .cites(view.facts.case.complete_list(Resource::Services))
                        .manual(format!("create the Service {service}, or correct the name that init container {name} waits for{hint}"))
                        .done(),
                );
            }
            Destination::OtherNamespace(_) | Destination::Unread(_) | Destination::Outside(_) => {}
        }
    }
    Some(
        base("InitContainerWaits", Depth::Symptom)
            .says(format!(
                "init container {name} of {} runs and does not end{last}",
                workload.name
            ))
            .done(),
    )
}

/// Hosts that a command waits for, by its own words.
fn awaited(container: &Container) -> Vec<Endpoint> {
    let text = container
        .command
        .iter()
        .flatten()
        .chain(container.args.iter().flatten())
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    let by_tool = WAITS_FOR
        .as_ref()
        .into_iter()
        .flat_map(|regex| regex.captures_iter(&text))
        .filter_map(|captures| {
            Some(Endpoint {
                host: captures.get(1)?.as_str().trim_end_matches('.').to_owned(),
                port: captures.get(2).and_then(|port| port.as_str().parse().ok()),
            })
        });
    by_tool.chain(logs::endpoints(&text)).collect()
}

fn sidecar(workload: &Workload<'_>) -> Option<Finding> {
    if !matches!(workload.name.kind.as_str(), "Job" | "CronJob") {
        return None;
    }
    workload.pods.iter().find_map(|pod| {
        let done = pod
            .statuses()
            .filter(|(_, init)| !init)
            .find(|(status, _)| status.state.as_ref().and_then(|s| s.terminated.as_ref()).is_some_and(|end| end.exit_code == 0))?;
        let running = pod
            .statuses()
            .filter(|(_, init)| !init)
            .find(|(status, _)| status.state.as_ref().is_some_and(|s| s.running.is_some()))?;
        Some(
            claim("SidecarKeepsJob", &workload.name, Depth::Fault, Basis::Stated, 1)
                .says(format!(
                    "{} never completes: container {} has done its work (exit code 0), and the sidecar container {} keeps running",
                    workload.name, done.0.name, running.0.name
                ))
                .cites([pod.evidence, workload.evidence])
                .since(pod.created())
                .manual(format!(
                    "make {} a native sidecar (an init container with restartPolicy: Always), or let it end with the work",
                    running.0.name
                ))
                .done(),
        )
    })
}

fn ends_at_once(workload: &Workload<'_>) -> Option<Finding> {
    if !workload.is_service() {
        return None;
    }
    let (pod, status) = workload.pods.iter().find_map(|pod| {
        pod.statuses()
            .filter(|(_, init)| !init)
            .find(|(status, _)| {
                status.restart_count >= 2
                    && !pod.is_ready()
                    && ended(status).is_some_and(|end| end.exit_code == 0 && end.reason == "Completed")
            })
            .map(|(status, _)| (pod, status))
    })?;
    Some(
        claim("CommandEnds", &workload.name, Depth::Fault, Basis::Stated, 0)
            .says(format!(
                "container {} of {} ends with success (exit code 0) again and again: its command has nothing that keeps it running",
                status.name, workload.name
            ))
            .cites([pod.evidence, workload.evidence])
            .since(pod.created())
            .manual("let the command run in the foreground, or make the workload a Job")
            .done(),
    )
}

/// What the kubelet could not do for a pod, in its own words.
fn kubelet(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let troubled = |pod: &&PodFacts<'_>| !pod.is_ready() && !pod.is_over() && !pod.is_going();
    let event = workload
        .pods
        .iter()
        .filter(troubled)
        .flat_map(|pod| view.facts.events(pod.name).iter().copied())
        .find(|event| {
            matches!(
                event.reason.as_str(),
                "FailedPostStartHook" | "FailedCreatePodSandBox" | "FailedPreStopHook" | "FailedCreatePodSandbox"
            )
        })?;
    let waits = workload
        .pods
        .iter()
        .any(|pod| pod.statuses().any(|(status, _)| waiting(status).is_some()));
    let (category, what, advice) = match event.reason.as_str() {
        "FailedCreatePodSandBox" | "FailedCreatePodSandbox" if waits => (
            "PodSandboxFails",
            "the node cannot make the pod's sandbox",
            "look at the node's network plugin and container runtime",
        ),
        "FailedCreatePodSandBox" | "FailedCreatePodSandbox" => return None,
        "FailedPreStopHook" => (
            "PreStopFails",
            "the preStop hook fails, so that the container is ended without it",
            "correct the hook's command: it must be in the image",
        ),
        _ => (
            "HookFails",
            "a lifecycle hook fails, so the container is killed",
            "correct the hook's command",
        ),
    };
    // A container that is ended ungracefully is no cause of its end.
    let depth = if category == "PreStopFails" {
        Depth::Symptom
    } else {
        Depth::Fault
    };
    let hook = workload
        .containers()
        .iter()
        .find_map(|container| {
            let hook = container.lifecycle.as_ref()?.post_start.as_ref()?.exec.as_ref()?;
            Some(hook.command.as_deref().unwrap_or_default().join(" "))
        })
        .filter(|_| category == "HookFails")
        .map_or(String::new(), |command| {
            format!(" (postStart runs `{}`)", clip(&command, 120))
        });
    Some(
        claim(category, &workload.name, depth, Basis::Stated, 1)
            .says(format!(
                "{}: {what}{hook}: {}",
                workload.name,
                clip(&event.message, 300)
            ))
            .cites([event.evidence.as_str(), workload.evidence])
            .since(event.first)
            .manual(advice)
            .done(),
    )
}

fn paused(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .case
        .all::<Deployment>()
        .filter(|(_, deployment, _)| deployment.spec.as_ref().is_some_and(|spec| spec.paused == Some(true)))
        .filter(|(_, deployment, _)| {
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            let updated = deployment
                .status
                .as_ref()
                .and_then(|status| status.updated_replicas)
                .unwrap_or(0);
            updated < wanted
        })
        .map(|(name, _, evidence)| {
            claim("RolloutPaused", name, Depth::Fault, Basis::Stated, 1)
                .says(format!(
                    "the rollout of {name} is paused, so its new template is not rolled out"
                ))
                .cites([evidence])
                .manual(format!("kubectl rollout resume deployment/{}", name.name))
                .done()
        })
        .collect()
}

/// Who wants to evict a pod of the budget and is refused, by its own log's last lines; and that log.
fn held<'v>(view: &'v View<'_>, selected: impl Fn(&PodFacts<'_>) -> bool) -> Option<(ObjectName, &'v str)> {
    let pods: Vec<&str> = view
        .facts
        .workloads
        .iter()
        .flat_map(|workload| &workload.pods)
        .filter(|pod| !pod.is_over() && selected(pod))
        .map(|pod| pod.name.name.as_str())
        .collect();
    view.facts
        .case
        .logs()
        .iter()
        .filter(|log| !log.previous)
        .find_map(|log| {
            let refused = log
                .lines
                .iter()
                .rev()
                .take(20)
                .filter(|line| {
                    line.text.contains("disruption budget") && pods.iter().any(|pod| line.text.contains(pod))
                })
                .count();
            let who = view.facts.workload(&log.pod)?;
            (refused >= 2).then(|| (who.name.clone(), log.evidence.as_str()))
        })
}

/// One more pod would let one go, where a second may run beside the first: no claim of its own, no strategy that forbids two.
fn one_more(view: &View<'_>, name: &ObjectName) -> Option<Remedy> {
    let workload = view.facts.workload(name)?;
    let spec = view.facts.case.get::<Deployment>(&name.name)?.spec.as_ref()?;
    let recreates = spec
        .strategy
        .as_ref()
        .is_some_and(|strategy| strategy.type_.as_deref() == Some("Recreate"));
    let claims = workload
        .pod_spec()?
        .volumes
        .iter()
        .flatten()
        .any(|volume| volume.persistent_volume_claim.is_some());
    (name.kind == "Deployment" && workload.desired == Some(1) && !recreates && !claims).then(|| Remedy::ScaleUp {
        workload: name.clone(),
        from: 1,
        to: 2,
    })
}

fn budgets(view: &View<'_>) -> Vec<Finding> {
    let cordoned = nodes::cordoned(view);
    let mut found = Vec::new();
    for (name, budget, evidence) in view.facts.case.all::<PodDisruptionBudget>() {
        let (Some(spec), Some(status)) = (&budget.spec, &budget.status) else {
            continue;
        };
        let refused = view
            .facts
            .case
            .events()
            .iter()
            .find(|event| event.message.contains("disruption budget") && event.message.contains(&name.name));
        let blocks = status.disruptions_allowed == 0
            && status.current_healthy >= status.desired_healthy
            && status.expected_pods > 0;
        if !blocks {
            continue;
        }
        let selected = |pod: &PodFacts<'_>| {
            spec.selector
                .as_ref()
                .is_some_and(|selector| crate::diagnosis::facts::matches(selector, pod.pod.metadata.labels.as_ref()))
        };
        let held = held(view, selected);
        // A node that is being drained, and still runs pods that the budget holds.
        let drained = cordoned.iter().find(|(node, _)| {
            view.facts
                .workloads
                .iter()
                .flat_map(|workload| &workload.pods)
                .any(|pod| {
                    pod.pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node.name.as_str())
                        && selected(pod)
                })
        });
        if view.facts.case.target() != Some(name) && refused.is_none() && drained.is_none() && held.is_none() {
            continue;
        }
        let show = |value: &IntOrString| match value {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        };
        let (field, value) = match (&spec.min_available, &spec.max_unavailable) {
            (Some(value), _) => ("minAvailable", show(value)),
            (_, Some(value)) => ("maxUnavailable", show(value)),
            _ => continue,
        };
        let to = match field {
            "minAvailable" if status.expected_pods > 1 => Some((status.expected_pods - 1).to_string()),
            "maxUnavailable" => Some("1".to_owned()),
            _ => None,
        };
        let budgeted: Vec<ObjectName> = view
            .facts
            .workloads
            .iter()
            .filter(|workload| workload.pods.first().is_some_and(selected))
            .map(|workload| workload.name.clone())
            .collect();
        let one_more = budgeted
            .first()
            .filter(|_| to.is_none() && budgeted.len() == 1)
            .and_then(|only| one_more(view, only));
        found.push(
            claim(
                "BudgetBlocksDisruption",
                name,
                Depth::Fault,
                Basis::Stated,
                1 + u8::from(refused.is_some() || drained.is_some() || held.is_some()),
            )
            .says(format!(
                "{name} lets no pod go: {field} is {value} and {} of {} pods are healthy, so drains and evictions wait{}{}",
                status.current_healthy,
                status.expected_pods,
                drained.map_or(String::new(), |(node, _)| format!("; {node} is cordoned and still runs some")),
                held.as_ref().map_or(String::new(), |(who, _)| format!("; {who} is refused again and again"))
            ))
            .cites(
                [evidence]
                    .into_iter()
                    .chain(refused.map(|event| event.evidence.as_str()))
                    .chain(drained.map(|(_, id)| *id))
                    .chain(held.as_ref().map(|(_, id)| *id)),
            )
            .affects(budgeted.into_iter().chain(held.as_ref().map(|(who, _)| who.clone())))
            .remedy(one_more.unwrap_or_else(|| Remedy::DisruptionBudget {
                budget: name.clone(),
                field: field.to_owned(),
                from: value,
                to,
            }))
            .done(),
        );
    }
    found
}
