//! What a complete investigation reads: decided from what is known already, so that each round asks for what the last one made
//! interesting. The agents ask these; the diagnosis counts those that stayed open, and is less sure for each.
//!
//! Bounded in commands and lines. Must never ask beyond the incident's namespace and the cluster-scoped facts that explain it.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::Ingress;

use super::case_file::CaseFile;
use super::facts::{Facts, PodFacts, Workload, ended, waiting};
use super::graph::{Graph, LogIndex};
use super::workload::annotation;
use crate::api::ObjectName;
use crate::metrics::Metric;
use crate::sandbox::command::{Command, Resource, Scope};
use crate::sandbox::evidence::EvidenceState;

/// Lines of a log that are read.
pub const TAIL: u32 = 1500;
/// Lines of a log whose last ones tell nothing.
pub const DEEP_TAIL: u32 = 20_000;
/// Logs that are read so deep.
const DEEP: usize = 2;
/// Pods of one workload whose logs are read.
const PODS: usize = 2;
/// Workloads of which a Prometheus is asked.
const MEASURED: usize = 2;
/// Workloads besides the target whose logs are read.
const OTHERS: usize = 6;

/// Kinds that the first look lists in the namespace, in one command.
pub const NAMESPACE_KINDS: [Resource; 22] = [
    Resource::Pods,
    Resource::Deployments,
    Resource::ReplicaSets,
    Resource::StatefulSets,
    Resource::DaemonSets,
    Resource::ControllerRevisions,
    Resource::Jobs,
    Resource::CronJobs,
    Resource::Services,
    Resource::EndpointSlices,
    Resource::Ingresses,
    Resource::NetworkPolicies,
    Resource::ConfigMaps,
    Resource::PersistentVolumeClaims,
    Resource::HorizontalPodAutoscalers,
    Resource::PodDisruptionBudgets,
    Resource::ResourceQuotas,
    Resource::LimitRanges,
    Resource::ServiceAccounts,
    Resource::Roles,
    Resource::RoleBindings,
    Resource::Events,
];

/// Cluster-scoped kinds that explain a namespace's trouble.
pub const CLUSTER_KINDS: [Resource; 3] = [Resource::Nodes, Resource::PersistentVolumes, Resource::StorageClasses];

/// The first look: the namespace, the cluster-scoped facts, usage.
pub fn first_look(namespace: &str) -> Vec<Command> {
    vec![
        Command::Get {
            resources: NAMESPACE_KINDS.to_vec(),
            scope: Scope::Namespace(namespace.to_owned()),
            name: None,
        },
        Command::Get {
            resources: CLUSTER_KINDS.to_vec(),
            scope: Scope::Cluster,
            name: None,
        },
        Command::TopPods {
            namespace: namespace.to_owned(),
        },
    ]
}

/// A list of many kinds in portions that can be read side by side. What is refused for one kind then hides no other portion.
pub fn portions(command: &Command) -> Vec<Command> {
    match command {
        Command::Get {
            resources,
            scope,
            name: None,
        } => {
            let mut groups: Vec<(u8, Vec<Resource>)> = Vec::new();
            for resource in resources {
                match groups.iter_mut().find(|(known, _)| *known == portion(*resource)) {
                    Some((_, group)) => group.push(*resource),
                    None => groups.push((portion(*resource), vec![*resource])),
                }
            }
            groups
                .into_iter()
                .map(|(_, resources)| Command::Get {
                    resources,
                    scope: scope.clone(),
                    name: None,
                })
                .collect()
        }
        other => vec![other.clone()],
    }
}

/// What is large is read by itself; what the same people may read is read together.
fn portion(resource: Resource) -> u8 {
    match resource {
        Resource::Pods => 0,
        Resource::Events => 1,
        Resource::ConfigMaps => 2,
        Resource::Roles | Resource::RoleBindings => 3,
        Resource::Nodes => 4,
        Resource::Deployments
        | Resource::ReplicaSets
        | Resource::StatefulSets
        | Resource::DaemonSets
        | Resource::ControllerRevisions
        | Resource::Jobs
        | Resource::CronJobs => 5,
        Resource::Services | Resource::EndpointSlices | Resource::Ingresses | Resource::NetworkPolicies => 6,
        _ => 7,
    }
}

/// Logs of the target's own containers, the worst pods first. Without a target: of every workload in trouble.
pub fn target_logs(facts: &Facts<'_>) -> Vec<Command> {
    targets(facts).into_iter().flat_map(logs_of).collect()
}

/// Logs of what the target depends on, as far as that is in trouble or named by a caller's log.
pub fn other_logs(facts: &Facts<'_>, graph: &Graph, logs: &LogIndex) -> Vec<Command> {
    let own: BTreeSet<&ObjectName> = targets(facts).iter().map(|workload| &workload.name).collect();
    let mut order: Vec<ObjectName> = Vec::new();
    for name in starting_points(facts) {
        for reached in graph.reach(&name) {
            if !order.contains(&reached) {
                order.push(reached);
            }
        }
    }
    let mut named: BTreeSet<ObjectName> = BTreeSet::new();
    for workload in &facts.workloads {
        for (_, group, _) in logs.of(&workload.name) {
            // Calls that failed once and succeed again lead nowhere.
            let goes_on = group.ongoing && !group.retried && group.count >= 2;
            if super::graph::is_call(group.signature)
                && (goes_on || in_trouble(workload))
                && let Some(super::graph::Destination::Service(service)) =
                    super::graph::called(facts.case, workload, group)
            {
                named.extend(graph.edges(&service).iter().map(|edge| edge.to.clone()));
            }
        }
        // Where its work comes from tells whether there is any.
        let stopped = own.contains(&workload.name)
            && logs
                .positions(&workload.name)
                .iter()
                .filter_map(|at| facts.case.logs().get(*at))
                .any(|log| !log.previous && !log.earlier && super::logs::silence::stopped(log).is_some());
        if stopped {
            named.extend(graph.reach(&workload.name));
        }
    }
    order
        .iter()
        .filter_map(|name| facts.workload(name).filter(|workload| workload.name == *name))
        .filter(|workload| !own.contains(&workload.name))
        .filter(|workload| in_trouble(workload) || named.contains(&workload.name))
        .take(OTHERS)
        .flat_map(logs_of)
        .chain(migration_logs(facts, logs))
        .chain(deep_logs(facts, logs))
        .collect()
}

/// The classes of the cluster, where an Ingress of the namespace names one. What it has no right to see stays unknown.
pub fn classes(facts: &Facts<'_>) -> Vec<Command> {
    let named = facts.case.all::<Ingress>().any(|(_, ingress, _)| {
        ingress
            .spec
            .as_ref()
            .is_some_and(|spec| spec.ingress_class_name.is_some())
    });
    let command = Command::Get {
        resources: vec![Resource::IngressClasses],
        scope: Scope::Cluster,
        name: None,
    };
    if named { vec![command] } else { Vec::new() }
}

/// The autoscalers of requests (VPA), where something shows that the cluster has them: pods whose requests one has written, or evictions
/// by one. Elsewhere their kind does not exist, and its absence tells nothing.
pub fn vertical_autoscalers(facts: &Facts<'_>) -> Vec<Command> {
    let written = facts.workloads.iter().flat_map(|workload| &workload.pods).any(|pod| {
        let metadata = &pod.pod.metadata;
        annotation(metadata, "vpaUpdates").is_some() || annotation(metadata, "vpaObservedContainers").is_some()
    });
    let evicts = || facts.case.events().iter().any(|event| event.reason == "EvictedByVPA");
    let command = Command::Get {
        resources: vec![Resource::VerticalPodAutoscalers],
        scope: Scope::Namespace(facts.case.namespace().to_owned()),
        name: None,
    };
    if written || evicts() { vec![command] } else { Vec::new() }
}

/// What a Prometheus is asked, where one is configured: of the target alone (without one: of the first in trouble), every measurement
/// that an analyzer reads. Nobody else decides what is asked of it.
pub fn metrics(facts: &Facts<'_>) -> Vec<Command> {
    let mut commands = Vec::new();
    let measured = targets(facts).into_iter().filter_map(|workload| {
        let resource = match workload.name.kind.as_str() {
            "Deployment" => Resource::Deployments,
            "StatefulSet" => Resource::StatefulSets,
            "DaemonSet" => Resource::DaemonSets,
            "ReplicaSet" => Resource::ReplicaSets,
            "Pod" => Resource::Pods,
            _ => return None,
        };
        Some((resource, workload))
    });
    for (resource, workload) in measured.take(MEASURED) {
        commands.extend(
            <Metric as strum::IntoEnumIterator>::iter().map(|metric| Command::Metrics {
                metric,
                resource,
                namespace: workload.namespace().to_owned(),
                name: workload.name.name.clone(),
            }),
        );
    }
    commands.retain(|command| !facts.case.has_asked(command));
    commands
}

/// What the migration that failed said, where a program misses what it should have made.
fn migration_logs(facts: &Facts<'_>, logs: &LogIndex) -> Vec<Command> {
    let missed = targets(facts).into_iter().any(|workload| {
        logs.of(&workload.name)
            .any(|(_, group, _)| group.signature == super::logs::Signature::SchemaMissing)
    });
    if !missed {
        return Vec::new();
    }
    facts
        .case
        .all::<k8s_openapi::api::batch::v1::Job>()
        .filter(|(name, job, _)| super::analyzers::changes_schema(name, job))
        .filter_map(|(name, _, _)| facts.workload(name))
        .filter(|workload| in_trouble(workload))
        .take(1)
        .flat_map(logs_of)
        .collect()
}

/// More of the target's own logs, where the last lines are all that was read and tell nothing.
fn deep_logs(facts: &Facts<'_>, logs: &LogIndex) -> Vec<Command> {
    let own: BTreeSet<&ObjectName> = targets(facts)
        .into_iter()
        .take(DEEP)
        .map(|workload| &workload.name)
        .collect();
    let mut commands = Vec::new();
    for name in own {
        let silent = logs
            .positions(name)
            .iter()
            .filter(|at| {
                logs.of(name)
                    .all(|(telling, group, _)| telling != **at || !group.ongoing)
            })
            .filter_map(|at| facts.case.logs().get(*at))
            .filter(|log| {
                !log.earlier
                    && log.tail < DEEP_TAIL
                    && usize::try_from(log.tail).is_ok_and(|tail| log.lines.len() >= tail)
            });
        // A crash is told by its end.
        for log in silent.filter(|log| !log.previous).take(DEEP) {
            commands.push(Command::Logs {
                namespace: log.pod.namespace.clone().unwrap_or_default(),
                pod: log.pod.name.clone(),
                container: log.container.clone(),
                previous: false,
                tail_lines: DEEP_TAIL,
            });
        }
    }
    commands.truncate(DEEP);
    commands
}

/// Questions of a complete investigation that have no, or no whole, answer.
pub fn open(facts: &Facts<'_>, graph: &Graph, logs: &LogIndex) -> Vec<Command> {
    first_look(facts.case.namespace())
        .into_iter()
        .chain(target_logs(facts))
        .chain(other_logs(facts, graph, logs))
        .filter(|command| match command {
            // A container's earlier run is often gone, a cluster without the metrics API and a user of one namespace are common.
            Command::Logs { previous: true, .. }
            | Command::TopPods { .. }
            | Command::Get {
                scope: Scope::Cluster, ..
            } => !facts.case.has_asked(command),
            Command::Logs { .. } => !matches!(
                facts.case.answer(command),
                Some(EvidenceState::Complete | EvidenceState::Truncated | EvidenceState::NotFound)
            ),
            _ => !is_answered(facts.case, command),
        })
        .collect()
}

/// Whether a list was received whole: as asked, or in other portions.
fn is_answered(case: &CaseFile, command: &Command) -> bool {
    match command {
        Command::Get {
            resources, name: None, ..
        } => resources.iter().all(|resource| case.complete_list(*resource).is_some()),
        other => case.answer(other) == Some(EvidenceState::Complete),
    }
}

/// The target as a workload; where there is none, everything in trouble.
pub fn targets<'f, 'a>(facts: &'f Facts<'a>) -> Vec<&'f Workload<'a>> {
    let points = starting_points(facts);
    let mut found: Vec<&Workload<'a>> = Vec::new();
    for name in &points {
        if let Some(workload) = facts.workload(name)
            && !found.iter().any(|known| known.name == workload.name)
        {
            found.push(workload);
        }
    }
    found
}

/// Where the search begins: the target (a Service's or autoscaler's workloads with it), or every workload in trouble.
pub fn starting_points(facts: &Facts<'_>) -> Vec<ObjectName> {
    let Some(target) = facts.case.target() else {
        let mut troubled: Vec<&Workload<'_>> = facts.workloads.iter().filter(|workload| in_trouble(workload)).collect();
        troubled.sort_by_key(|workload| workload.ready());
        let some = troubled.into_iter().take(OTHERS).map(|workload| workload.name.clone());
        // With nothing in trouble, a few logs are read all the same.
        let mut points: Vec<ObjectName> = some.collect();
        if points.is_empty() {
            points = facts
                .workloads
                .iter()
                .take(OTHERS)
                .map(|workload| workload.name.clone())
                .collect();
        }
        return points;
    };
    let mut points = vec![
        facts
            .workload(target)
            .map_or_else(|| target.clone(), |workload| workload.name.clone()),
    ];
    match target.kind.as_str() {
        "Service" => {
            if let Some(service) = facts.service(target.namespace.as_deref().unwrap_or_default(), &target.name) {
                points.extend(
                    service
                        .workloads
                        .iter()
                        .filter_map(|index| facts.workloads.get(*index))
                        .map(|workload| workload.name.clone()),
                );
            }
        }
        "HorizontalPodAutoscaler" => {
            if let Some(spec) = facts
                .case
                .get::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>(&target.name)
                .and_then(|hpa| hpa.spec.as_ref())
            {
                points.push(ObjectName::namespaced(
                    spec.scale_target_ref.kind.clone(),
                    facts.case.namespace(),
                    spec.scale_target_ref.name.clone(),
                ));
            }
        }
        _ => {}
    }
    points
}

/// Whether anything about a workload's pods asks for a look.
pub fn in_trouble(workload: &Workload<'_>) -> bool {
    let short = workload.is_service()
        && workload
            .desired
            .is_some_and(|desired| workload.ready() < usize::try_from(desired).unwrap_or(0));
    short || workload.pods.iter().any(pod_in_trouble)
}

fn pod_in_trouble(pod: &PodFacts<'_>) -> bool {
    if pod.phase() == "Succeeded" {
        return false;
    }
    pod.phase() == "Failed"
        || (!pod.is_ready() && !pod.is_going())
        || pod.statuses().any(|(status, _)| {
            status.restart_count > 0 || waiting(status).is_some_and(|(reason, _)| reason.ends_with("BackOff"))
        })
}

fn logs_of(workload: &Workload<'_>) -> Vec<Command> {
    let mut pods: Vec<&PodFacts<'_>> = workload.pods.iter().filter(|pod| !pod.is_going()).collect();
    // The worst first, the newest of those first; then names, so that the same question is asked every time.
    pods.sort_by(|a, b| {
        let rank = |pod: &PodFacts<'_>| (pod.phase() == "Succeeded", !pod_in_trouble(pod));
        rank(a)
            .cmp(&rank(b))
            .then(b.created().cmp(&a.created()))
            .then(a.name.cmp(b.name))
    });
    let mut commands = Vec::new();
    for pod in pods.into_iter().take(PODS) {
        for (status, _) in pod.statuses() {
            let started = status.started == Some(true)
                || status
                    .state
                    .as_ref()
                    .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
                || ended(status).is_some();
            let never_ran = ended(status).is_some_and(|end| matches!(end.reason, "StartError" | "ContainerCannotRun"));
            let done = status
                .state
                .as_ref()
                .and_then(|state| state.terminated.as_ref())
                .is_some_and(|end| end.exit_code == 0);
            if !started || never_ran || (done && status.restart_count == 0) {
                continue;
            }
            let log = |previous| Command::Logs {
                namespace: pod.namespace().to_owned(),
                pod: pod.name.name.clone(),
                container: status.name.clone(),
                previous,
                tail_lines: TAIL,
            };
            commands.push(log(false));
            if status.restart_count > 0 {
                commands.push(log(true));
            }
        }
    }
    commands
}
