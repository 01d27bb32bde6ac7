//! Everything known about one incident, as typed values: objects, events, logs, usage, and what could not be read.
//!
//! Tolerant: an object that does not parse is kept as unknown, with its error; nothing here panics on what a cluster says.
//! It must never interpret: that is the analyzers' work. Built by the loop, the agents' edge and the plugin from `Evidence`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::jiff::Timestamp;

pub use super::objects::{Kind, Object, kind_of};
use super::quantity;
pub use super::records::{Entry, EventRecord, Gap, LogLine, LogRecord, Measured, Usage};
use super::{events, items};
use crate::api::ObjectName;
use crate::metrics::Metric;
use crate::metrics::answer::Answer;
use crate::sandbox::command::{Command, Resource, Scope};
use crate::sandbox::evidence::{Evidence, EvidenceState};

/// Longer logs are read to here.
const MAX_LINES: usize = 20_000;

/// Everything known about one incident.
#[derive(Clone, Debug)]
pub struct CaseFile {
    namespace: String,
    target: Option<ObjectName>,
    now: Timestamp,
    objects: BTreeMap<ObjectName, Entry>,
    events: Vec<EventRecord>,
    event_at: HashMap<(ObjectName, String, String), usize>,
    logs: Vec<LogRecord>,
    usage: Vec<Usage>,
    usage_of: BTreeMap<(String, String, String), Usage>,
    measured: BTreeMap<(ObjectName, Metric), Measured>,
    gaps: Vec<Gap>,
    asked: BTreeMap<Command, EvidenceState>,
    asked_lists: BTreeSet<(Resource, Scope)>,
    lists: BTreeMap<(Resource, Scope), String>,
    seen_in: BTreeMap<ObjectName, BTreeSet<String>>,
    evidence: BTreeSet<String>,
}

impl CaseFile {
    /// An empty one. `namespace` is the target's.
    pub fn new(namespace: &str, target: Option<ObjectName>, now: Timestamp) -> Self {
        Self {
            namespace: namespace.to_owned(),
            target,
            now,
            objects: BTreeMap::new(),
            events: Vec::new(),
            event_at: HashMap::new(),
            logs: Vec::new(),
            usage: Vec::new(),
            usage_of: BTreeMap::new(),
            measured: BTreeMap::new(),
            gaps: Vec::new(),
            asked: BTreeMap::new(),
            asked_lists: BTreeSet::new(),
            lists: BTreeMap::new(),
            seen_in: BTreeMap::new(),
            evidence: BTreeSet::new(),
        }
    }

    /// One with all of `evidence` added in its order.
    pub fn from_evidence(namespace: &str, target: Option<ObjectName>, now: Timestamp, evidence: &[Evidence]) -> Self {
        let mut case = Self::new(namespace, target, now);
        for one in evidence {
            case.add(one);
        }
        case
    }

    /// Adds one piece of evidence. Newer forms of an object replace older ones, and a complete list removes what it no longer holds.
    pub fn add(&mut self, evidence: &Evidence) {
        self.asked.insert(evidence.command.clone(), evidence.state);
        if let Command::Get {
            resources,
            scope,
            name: None,
        } = &evidence.command
        {
            self.asked_lists
                .extend(resources.iter().map(|resource| (*resource, scope.clone())));
        }
        // Nothing is looked at before it was read.
        self.now = self.now.max(evidence.collected_at);
        self.evidence.insert(evidence.id.clone());
        if evidence.state != EvidenceState::Complete && !is_absent_by_nature(evidence) {
            self.gaps.push(Gap {
                command: evidence.command.clone(),
                state: evidence.state,
                message: evidence.said(),
                evidence: evidence.id.clone(),
            });
        }
        match &evidence.command {
            Command::Get { resources, scope, name } => self.add_objects(evidence, resources, scope, name.as_deref()),
            Command::Logs {
                namespace,
                pod,
                container,
                previous,
                tail_lines,
            } => self.add_log(evidence, namespace, pod, container, *previous, *tail_lines),
            Command::TopPods { namespace } => self.add_usage(evidence, namespace),
            Command::Metrics {
                metric,
                resource,
                namespace,
                name,
            } => self.add_measured(
                evidence,
                *metric,
                ObjectName::namespaced(kind_of(*resource), namespace, name),
            ),
            _ => {}
        }
    }

    fn add_objects(&mut self, evidence: &Evidence, resources: &[Resource], scope: &Scope, name: Option<&str>) {
        let mut seen = BTreeSet::new();
        for text in items::objects(&evidence.output) {
            if items::field(text, "kind") == Some("Event") {
                self.add_event(text, &evidence.id);
                continue;
            }
            let Some(read) = Object::read(text) else { continue };
            if read.kind == "Event" {
                self.add_event(text, &evidence.id);
                continue;
            }
            if read.kind.is_empty() || read.name.is_empty() {
                continue;
            }
            let key = ObjectName {
                kind: read.kind,
                namespace: (!read.namespace.is_empty()).then_some(read.namespace),
                name: read.name,
            };
            seen.insert(key.clone());
            self.seen_in.entry(key.clone()).or_default().insert(evidence.id.clone());
            let entry = Entry {
                uid: read.uid,
                api_version: read.api_version,
                object: read.object,
                evidence: evidence.id.clone(),
                seen_at: evidence.collected_at,
            };
            self.objects.insert(key, entry);
        }
        if name.is_none() && evidence.state == EvidenceState::Complete {
            for resource in resources {
                self.lists.insert((*resource, scope.clone()), evidence.id.clone());
                let kind = kind_of(*resource);
                self.objects.retain(|key, _| {
                    key.kind != kind
                        || seen.contains(key)
                        || match scope {
                            Scope::Namespace(namespace) => key.namespace.as_deref() != Some(namespace),
                            Scope::Cluster => key.namespace.is_some(),
                        }
                });
            }
        }
    }

    fn add_event(&mut self, text: &str, evidence: &str) {
        let Some(event) = events::read(text, evidence, &self.namespace) else {
            return;
        };
        let key = (event.object.clone(), event.reason.clone(), event.message.clone());
        // The same event, seen again later: its newest form counts.
        match self.event_at.get(&key).and_then(|at| self.events.get_mut(*at)) {
            Some(old) if old.evidence != event.evidence => *old = event,
            _ => {
                self.event_at.insert(key, self.events.len());
                self.events.push(event);
            }
        }
    }

    fn add_log(&mut self, evidence: &Evidence, namespace: &str, pod: &str, container: &str, previous: bool, tail: u32) {
        let readable = matches!(evidence.state, EvidenceState::Complete | EvidenceState::Truncated);
        // The kubelet answers so, with success, when the runtime has removed the container already.
        if !readable || evidence.output.starts_with("unable to retrieve container logs") {
            return;
        }
        let record = LogRecord {
            pod: ObjectName::namespaced("Pod", namespace, pod),
            container: container.to_owned(),
            previous,
            tail,
            earlier: false,
            lines: evidence.output.lines().take(MAX_LINES).map(LogLine::read).collect(),
            read_at: evidence.collected_at,
            evidence: evidence.id.clone(),
        };
        let same_run =
            |old: &LogRecord| old.pod == record.pod && old.container == record.container && old.previous == previous;
        self.logs.retain(|old| !same_run(old) || old.tail != tail);
        let (pod, container) = (record.pod.clone(), record.container.clone());
        self.logs.push(record);
        self.part_windows(&pod, &container, previous);
    }

    /// Several windows of one run are kept as one: the shortest holds the last lines, a longer one what came before those.
    fn part_windows(&mut self, pod: &ObjectName, container: &str, previous: bool) {
        let mut windows: Vec<&mut LogRecord> = self
            .logs
            .iter_mut()
            .filter(|log| log.pod == *pod && log.container == container && log.previous == previous)
            .collect();
        windows.sort_by_key(|log| log.tail);
        let mut begins: Option<(Option<Timestamp>, String)> = None;
        for log in windows {
            if let Some((at, text)) = &begins {
                let cut = log
                    .lines
                    .iter()
                    .position(|line| line.at.is_some() && line.at >= *at && at.is_some())
                    .or_else(|| log.lines.iter().rposition(|line| line.text == *text && at.is_none()));
                if let Some(cut) = cut {
                    log.lines.truncate(cut);
                }
                log.earlier = true;
            }
            begins = log.lines.first().map(|line| (line.at, line.text.clone())).or(begins);
        }
    }

    fn add_usage(&mut self, evidence: &Evidence, namespace: &str) {
        if !matches!(evidence.state, EvidenceState::Complete | EvidenceState::Truncated) {
            return;
        }
        for line in evidence.output.lines() {
            let mut words = line.split_whitespace();
            let (Some(pod), Some(container), Some(cpu), Some(memory)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let (Some(cpu_millis), Some(memory_bytes)) = (quantity::cpu_millis(cpu), quantity::bytes(memory)) else {
                continue;
            };
            let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
            let usage = Usage {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                container: container.to_owned(),
                cpu_millis,
                memory_bytes,
                evidence: evidence.id.clone(),
            };
            self.usage_of.insert(key, usage);
        }
        self.usage = self.usage_of.values().cloned().collect();
    }

    fn add_measured(&mut self, evidence: &Evidence, metric: Metric, of: ObjectName) {
        if !matches!(evidence.state, EvidenceState::Complete | EvidenceState::Truncated) {
            return;
        }
        let measured = Measured {
            series: Answer::read(&evidence.output).series,
            evidence: evidence.id.clone(),
        };
        self.measured.insert((of, metric), measured);
    }

    /// What was measured of that workload's pods; none: it was not asked, or not answered.
    pub fn measured(&self, workload: &ObjectName, metric: Metric) -> Option<&Measured> {
        self.measured.get(&(workload.clone(), metric))
    }

    /// The evidence of a complete list of that kind in the incident's namespace (or of a cluster-scoped kind): only with it may
    /// an object be called missing.
    pub fn complete_list(&self, resource: Resource) -> Option<&str> {
        self.lists
            .get(&(resource, Scope::Namespace(self.namespace.clone())))
            .or_else(|| self.lists.get(&(resource, Scope::Cluster)))
            .map(String::as_str)
    }

    /// What came of a command; none: it was not asked.
    pub fn answer(&self, command: &Command) -> Option<EvidenceState> {
        self.asked.get(command).copied()
    }

    /// Every command that was asked.
    pub fn asked(&self) -> impl Iterator<Item = (&Command, EvidenceState)> {
        self.asked.iter().map(|(command, state)| (command, *state))
    }

    /// The namespace that the incident is about.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The object that the incident is about; none: the whole namespace.
    pub fn target(&self) -> Option<&ObjectName> {
        self.target.as_ref()
    }

    /// The time of the look.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether that command's output is here already, whatever came of it: as asked, or list by list.
    pub fn has_asked(&self, command: &Command) -> bool {
        self.asked.contains_key(command)
            || matches!(command, Command::Get { resources, scope, name: None }
                if resources.iter().all(|resource| self.asked_lists.contains(&(*resource, scope.clone()))))
    }

    /// Whether that evidence is in the file: nothing else may be cited.
    pub fn has_evidence(&self, id: &str) -> bool {
        self.evidence.contains(id)
    }

    /// One object, by name.
    pub fn entry(&self, name: &ObjectName) -> Option<&Entry> {
        self.objects.get(name)
    }

    /// All evidence that holds a form of that object.
    pub fn also_in(&self, name: &ObjectName) -> impl Iterator<Item = &String> {
        self.seen_in.get(name).into_iter().flatten()
    }

    /// Every object, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&ObjectName, &Entry)> {
        self.objects.iter()
    }

    /// Every object of a kind, known or not, by name.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a ObjectName, &'a Entry)> {
        let first = ObjectName {
            kind: kind.to_owned(),
            namespace: None,
            name: String::new(),
        };
        self.objects
            .range(first..)
            .take_while(move |(name, _)| name.kind == kind)
    }

    /// One object of a known kind in the incident's namespace.
    pub fn get<K: Kind>(&self, name: &str) -> Option<&K> {
        let key = ObjectName::namespaced(K::NAME, self.namespace.clone(), name);
        self.objects.get(&key).and_then(|entry| K::of(&entry.object))
    }

    /// Every object of a known kind, with its name and evidence id.
    pub fn all<'a, K: Kind + 'a>(&'a self) -> impl Iterator<Item = (&'a ObjectName, &'a K, &'a str)> {
        self.objects
            .iter()
            .filter(|(name, _)| name.kind == K::NAME)
            .filter_map(|(name, entry)| K::of(&entry.object).map(|object| (name, object, entry.evidence.as_str())))
    }

    /// Every event.
    pub fn events(&self) -> &[EventRecord] {
        &self.events
    }

    /// Every log.
    pub fn logs(&self) -> &[LogRecord] {
        &self.logs
    }

    /// Usage of containers.
    pub fn usage(&self) -> &[Usage] {
        &self.usage
    }

    /// What is missing, forbidden, truncated or failed.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }
}

/// Whether what is missing is missing in most clusters: the kind of an add-on that is not installed.
fn is_absent_by_nature(evidence: &Evidence) -> bool {
    let unknown = ["doesn't have a resource type", "could not find the requested resource"];
    matches!(&evidence.command, Command::Get { resources, .. } if resources == &[Resource::VerticalPodAutoscalers])
        && unknown.iter().any(|words| evidence.output.contains(words))
}
