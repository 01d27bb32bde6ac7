//! Which object depends on which: a workload on the Services that it calls, the configuration and claims that it mounts; a Service on
//! the workloads that it selects; an Ingress on Services, an autoscaler on what it scales.
//!
//! Cycles are allowed. Must never invent an edge: each has the evidence that shows it. Called by `cause` and `questions`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service};
use k8s_openapi::api::networking::v1::Ingress;

use super::case_file::CaseFile;
use super::environment;
use super::facts::{Facts, Workload};
use super::logs::{self, Endpoint, Group, Signature};
use crate::api::ObjectName;
use crate::sandbox::command::Resource;

/// One object needs another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What is needed.
    pub to: ObjectName,
    /// As in "web *calls* db".
    pub verb: &'static str,
    /// Evidence that shows it.
    pub evidence: String,
}

/// What a host name in a program's settings or log stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A Service of the incident's namespace.
    Service(ObjectName),
    /// Something in another namespace: named, not read.
    OtherNamespace(ObjectName),
    /// A name without dots that no Service of the namespace has.
    UnknownService(String),
    /// A name of the incident's namespace; whether a Service has it is not known, because the Services were not read.
    Unread(ObjectName),
    /// Outside the cluster, or not to be told.
    Outside(String),
}

/// What an endpoint stands for, seen from `namespace`.
pub fn destination(case: &CaseFile, namespace: &str, endpoint: &Endpoint) -> Destination {
    let host = endpoint.host.trim_end_matches('.');
    let parts: Vec<&str> = host.split('.').collect();
    let service = |name: &str| ObjectName::namespaced("Service", namespace, name);
    let known = |name: &str| case.entry(&service(name)).is_some();
    if parts.iter().all(|part| part.parse::<u8>().is_ok()) && parts.len() == 4 {
        return case
            .all::<Service>()
            .find(|(_, object, _)| object.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some(host))
            .map_or_else(
                || Destination::Outside(host.to_owned()),
                |(name, _, _)| Destination::Service(name.clone()),
            );
    }
    // A list that could not be read tells nothing of what is missing in it.
    let listed = case.complete_list(Resource::Services).is_some();
    let inside = |name: &str| {
        if known(name) {
            Destination::Service(service(name))
        } else if listed {
            Destination::UnknownService(name.to_owned())
        } else {
            Destination::Unread(service(name))
        }
    };
    match parts.as_slice() {
        [name] => inside(name),
        [name, space, "svc", ..] | [_, name, space, "svc", ..] | [name, space] if *space == namespace => inside(name),
        [name, space, "svc", ..] => Destination::OtherNamespace(ObjectName::namespaced("Service", *space, *name)),
        [_, name] if known(name) => Destination::Service(service(name)),
        _ => Destination::Outside(host.to_owned()),
    }
}

/// What depends on what.
#[derive(Debug, Default)]
pub struct Graph {
    edges: BTreeMap<ObjectName, Vec<Edge>>,
}

impl Graph {
    /// From objects, settings and logs.
    pub fn new(facts: &Facts<'_>, logs: &LogIndex) -> Self {
        let mut graph = Self::default();
        for workload in &facts.workloads {
            graph.add_settings(facts, workload);
            graph.add_logs(facts, workload, logs);
        }
        for service in &facts.services {
            for index in &service.workloads {
                if let Some(workload) = facts.workloads.get(*index) {
                    graph.add(service.name, &workload.name, "selects", service.evidence);
                }
            }
        }
        for (name, ingress, evidence) in facts.case.all::<Ingress>() {
            for backend in ingress_services(ingress) {
                let namespace = name.namespace.clone().unwrap_or_default();
                graph.add(
                    name,
                    &ObjectName::namespaced("Service", namespace, backend),
                    "routes to",
                    evidence,
                );
            }
        }
        for (name, hpa, evidence) in facts.case.all::<HorizontalPodAutoscaler>() {
            if let Some(spec) = &hpa.spec {
                let namespace = name.namespace.clone().unwrap_or_default();
                let target = ObjectName::namespaced(
                    spec.scale_target_ref.kind.clone(),
                    namespace,
                    spec.scale_target_ref.name.clone(),
                );
                graph.add(name, &target, "scales", evidence);
                graph.add(&target, name, "is scaled by", evidence);
            }
        }
        for (name, claim, evidence) in facts.case.all::<PersistentVolumeClaim>() {
            if let Some(class) = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref()) {
                graph.add(
                    name,
                    &ObjectName::cluster("StorageClass", class.clone()),
                    "asks for",
                    evidence,
                );
            }
        }
        graph
    }

    fn add(&mut self, from: &ObjectName, to: &ObjectName, verb: &'static str, evidence: &str) {
        if from == to {
            return;
        }
        let edges = self.edges.entry(from.clone()).or_default();
        if !edges.iter().any(|edge| edge.to == *to) {
            edges.push(Edge {
                to: to.clone(),
                verb,
                evidence: evidence.to_owned(),
            });
        }
    }

    fn add_settings(&mut self, facts: &Facts<'_>, workload: &Workload<'_>) {
        let Some(spec) = workload.pod_spec() else { return };
        let namespace = workload.namespace();
        for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
            let view = environment::of(facts.case, namespace, container);
            for map in &view.config_maps {
                self.add(&workload.name, &map.name, "reads", workload.evidence);
            }
            let words = container
                .command
                .iter()
                .flatten()
                .chain(container.args.iter().flatten())
                .map(String::as_str);
            for value in view
                .values
                .values()
                .filter_map(|value| value.value.as_deref())
                .chain(words)
            {
                self.add_calls(facts.case, workload, value, workload.evidence);
            }
        }
        for volume in spec.volumes.iter().flatten() {
            if let Some(map) = volume.config_map.as_ref().map(|source| source.name.as_str()) {
                let name = ObjectName::namespaced("ConfigMap", namespace, map);
                self.add(&workload.name, &name, "mounts", workload.evidence);
                let entry = facts.case.entry(&name);
                if let Some(map) = facts.case.get::<ConfigMap>(&name.name) {
                    for (key, value) in map.data.iter().flatten() {
                        if is_settings_file(key) && value.len() <= 65_536 {
                            let evidence = entry.map_or(workload.evidence, |entry| entry.evidence.as_str());
                            self.add_calls(facts.case, workload, value, evidence);
                        }
                    }
                }
            }
            if let Some(claim) = &volume.persistent_volume_claim {
                let name = ObjectName::namespaced("PersistentVolumeClaim", namespace, claim.claim_name.clone());
                self.add(&workload.name, &name, "mounts", workload.evidence);
            }
        }
    }

    fn add_calls(&mut self, case: &CaseFile, workload: &Workload<'_>, text: &str, evidence: &str) {
        let namespace = workload.namespace().to_owned();
        // A value that is nothing but the name of a Service is a host too.
        let bare = Endpoint {
            host: text.trim().to_owned(),
            port: None,
        };
        let alone = text.len() <= 253
            && case
                .entry(&ObjectName::namespaced("Service", namespace.clone(), text.trim()))
                .is_some();
        for endpoint in logs::endpoints(text).into_iter().chain(alone.then_some(bare)) {
            if let Destination::Service(service) = destination(case, &namespace, &endpoint)
                && !is_own(case, workload, &service)
            {
                self.add(&workload.name, &service, "calls", evidence);
            }
        }
    }

    fn add_logs(&mut self, facts: &Facts<'_>, workload: &Workload<'_>, logs: &LogIndex) {
        for (_, group, evidence) in logs.of(&workload.name) {
            if !is_call(group.signature) {
                continue;
            }
            if let Some(Destination::Service(service)) = called(facts.case, workload, group)
                && !is_own(facts.case, workload, &service)
            {
                self.add(&workload.name, &service, "calls", evidence);
            }
        }
    }

    /// What `from` needs.
    pub fn edges(&self, from: &ObjectName) -> &[Edge] {
        self.edges.get(from).map_or(&[], Vec::as_slice)
    }

    /// The shortest way from `from` to `to`: the objects on it, both ends included, with the edge that leads to each.
    pub fn path(&self, from: &ObjectName, to: &ObjectName) -> Option<Vec<(ObjectName, Option<Edge>)>> {
        let mut before: BTreeMap<&ObjectName, (&ObjectName, &Edge)> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        let mut seen = BTreeSet::from([from]);
        while let Some(here) = queue.pop_front() {
            if here == to {
                let mut way = vec![];
                let mut at = here;
                while let Some((previous, edge)) = before.get(at) {
                    way.push((at.clone(), Some((*edge).clone())));
                    at = previous;
                }
                way.push((from.clone(), None));
                way.reverse();
                return Some(way);
            }
            for edge in self.edges(here) {
                if seen.insert(&edge.to) {
                    before.insert(&edge.to, (here, edge));
                    queue.push_back(&edge.to);
                }
            }
        }
        None
    }

    /// Everything that `from` needs, directly or not, nearest first, itself included.
    pub fn reach(&self, from: &ObjectName) -> Vec<ObjectName> {
        let mut order = vec![from.clone()];
        let mut seen = BTreeSet::from([from.clone()]);
        let mut next = 0;
        while let Some(here) = order.get(next).cloned() {
            next += 1;
            for edge in self.edges(&here) {
                if seen.insert(edge.to.clone()) {
                    order.push(edge.to.clone());
                }
            }
        }
        order
    }
}

/// Whether lines of that signature are about a call to something else.
pub fn is_call(signature: Signature) -> bool {
    matches!(
        signature,
        Signature::Refused
            | Signature::TimedOut
            | Signature::Dns
            | Signature::UpstreamError
            | Signature::AuthFailed
            | Signature::RateLimited
            | Signature::Reset
    )
}

/// Whom the lines of a group called.
pub fn called(case: &CaseFile, workload: &Workload<'_>, group: &Group) -> Option<Destination> {
    let endpoint = logs::endpoints(&group.subject).into_iter().next().or_else(|| {
        (!group.subject.is_empty()).then(|| Endpoint {
            host: group.subject.clone(),
            port: None,
        })
    })?;
    Some(destination(case, workload.namespace(), &endpoint))
}

/// Whether a Service is in front of the workload itself.
fn is_own(case: &CaseFile, workload: &Workload<'_>, service: &ObjectName) -> bool {
    case.get::<Service>(&service.name)
        .and_then(super::facts::selector_of)
        .is_some_and(|selector| selector.iter().all(|(key, value)| workload.label(key) == Some(value)))
}

fn selects_workload(facts: &Facts<'_>, service: &super::facts::ServiceFacts<'_>, workload: &Workload<'_>) -> bool {
    service
        .workloads
        .iter()
        .filter_map(|index| facts.workloads.get(*index))
        .any(|behind| behind.name == workload.name)
}

/// Keys whose content is settings and not source code.
fn is_settings_file(key: &str) -> bool {
    !key.rsplit_once('.').is_some_and(|(_, end)| {
        matches!(
            end,
            "py" | "js"
                | "ts"
                | "go"
                | "java"
                | "rb"
                | "rs"
                | "c"
                | "cs"
                | "php"
                | "pl"
                | "sql"
                | "html"
                | "crt"
                | "pem"
                | "md"
        )
    })
}

fn ingress_services(ingress: &Ingress) -> Vec<String> {
    let Some(spec) = &ingress.spec else { return Vec::new() };
    let paths = spec
        .rules
        .iter()
        .flatten()
        .filter_map(|rule| rule.http.as_ref())
        .flat_map(|http| &http.paths);
    paths
        .map(|path| &path.backend)
        .chain(spec.default_backend.as_ref())
        .filter_map(|backend| backend.service.as_ref().map(|service| service.name.clone()))
        .collect()
}

/// Groups of log lines, by workload.
#[derive(Debug, Default)]
pub struct LogIndex {
    groups: BTreeMap<ObjectName, Vec<(usize, Group)>>,
    positions: BTreeMap<ObjectName, Vec<usize>>,
    evidence: Vec<String>,
}

impl LogIndex {
    /// Reads every log of the case file once.
    pub fn new(facts: &Facts<'_>) -> Self {
        let mut index = Self::default();
        for (at, log) in facts.case.logs().iter().enumerate() {
            index.evidence.push(log.evidence.clone());
            let Some(workload) = facts.workload(&log.pod) else {
                continue;
            };
            index.positions.entry(workload.name.clone()).or_default().push(at);
            // A program's own name in its own log is not a call.
            let known: BTreeSet<&str> = facts
                .services
                .iter()
                .filter(|service| service.name.namespace == workload.name.namespace)
                .filter(|service| !selects_workload(facts, service, workload))
                .map(|service| service.name.name.as_str())
                .collect();
            let groups = logs::read_knowing(log, &known).into_iter().map(|group| (at, group));
            index.groups.entry(workload.name.clone()).or_default().extend(groups);
        }
        index
    }

    /// Positions of a workload's logs in the case file.
    pub fn positions(&self, workload: &ObjectName) -> &[usize] {
        self.positions.get(workload).map_or(&[], Vec::as_slice)
    }

    /// Groups of a workload's logs: position of the log in the case file, the group, its evidence.
    pub fn of<'s>(&'s self, workload: &ObjectName) -> impl Iterator<Item = (usize, &'s Group, &'s str)> {
        self.groups
            .get(workload)
            .into_iter()
            .flatten()
            .filter_map(|(at, group)| Some((*at, group, self.evidence.get(*at)?.as_str())))
    }
}
