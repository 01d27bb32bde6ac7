//! The case file seen as workloads, their pods and revisions, and Services: what nearly every analyzer starts from.
//!
//! Built once for a diagnosis, in time linear in the case file. Must never judge. Called by `diagnose` and by `questions`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, Service};

use super::case_file::{CaseFile, EventRecord, LogRecord};
use super::workload::label;
pub use super::workload::{
    Ended, PodFacts, Revision, ServiceFacts, Workload, annotation, controller, created, ended, matches, selector_of,
    selects, waiting,
};
use crate::api::ObjectName;

/// The annotation that orders the ReplicaSets of a Deployment.
pub const REVISION: &str = "deployment.kubernetes.io/revision";

/// Namespace, key, value.
type Label<'l> = (&'l str, &'l str, &'l str);

/// The case file, indexed.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What it was made from.
    pub case: &'a CaseFile,
    /// Everything that runs pods, and pods that nothing owns.
    pub workloads: Vec<Workload<'a>>,
    /// Every Service, with what it selects.
    pub services: Vec<ServiceFacts<'a>>,
    by_name: BTreeMap<ObjectName, usize>,
    owner_of: BTreeMap<ObjectName, usize>,
    events_of: BTreeMap<ObjectName, Vec<&'a EventRecord>>,
}

impl<'a> Facts<'a> {
    /// Indexes the case file.
    pub fn new(case: &'a CaseFile) -> Self {
        let mut facts = Self {
            case,
            workloads: Vec::new(),
            services: Vec::new(),
            by_name: BTreeMap::new(),
            owner_of: BTreeMap::new(),
            events_of: BTreeMap::new(),
        };
        facts.add_controllers();
        facts.add_replica_sets();
        facts.add_controller_revisions();
        facts.add_pods();
        facts.add_services();
        for event in case.events() {
            facts.events_of.entry(event.object.clone()).or_default().push(event);
        }
        facts
    }

    fn push(
        &mut self,
        name: &ObjectName,
        evidence: &'a str,
        template: Option<&'a PodTemplateSpec>,
        desired: Option<i32>,
    ) -> usize {
        let index = self.workloads.len();
        self.workloads.push(Workload {
            name: name.clone(),
            evidence,
            template,
            desired,
            pods: Vec::new(),
            revisions: Vec::new(),
        });
        self.by_name.insert(name.clone(), index);
        index
    }

    fn add_controllers(&mut self) {
        let case = self.case;
        for (name, object, evidence) in case.all::<Deployment>() {
            let spec = object.spec.as_ref();
            self.push(
                name,
                evidence,
                spec.map(|s| &s.template),
                Some(spec.and_then(|s| s.replicas).unwrap_or(1)),
            );
        }
        for (name, object, evidence) in case.all::<StatefulSet>() {
            let spec = object.spec.as_ref();
            self.push(
                name,
                evidence,
                spec.map(|s| &s.template),
                Some(spec.and_then(|s| s.replicas).unwrap_or(1)),
            );
        }
        for (name, object, evidence) in case.all::<DaemonSet>() {
            let desired = object.status.as_ref().map(|s| s.desired_number_scheduled);
            self.push(name, evidence, object.spec.as_ref().map(|s| &s.template), desired);
        }
        for (name, object, evidence) in case.all::<CronJob>() {
            let template = object
                .spec
                .as_ref()
                .and_then(|s| s.job_template.spec.as_ref())
                .map(|s| &s.template);
            self.push(name, evidence, template, None);
        }
        for (name, object, evidence) in case.all::<Job>() {
            if let Some(index) = controller(&object.metadata, name)
                .and_then(|owner| self.by_name.get(&owner))
                .copied()
            {
                // Runs of a CronJob are the CronJob's; the Job is found again by name.
                self.by_name.insert(name.clone(), index);
                continue;
            }
            self.push(name, evidence, object.spec.as_ref().map(|s| &s.template), None);
        }
    }

    fn add_replica_sets(&mut self) {
        let case = self.case;
        for (name, object, evidence) in case.all::<ReplicaSet>() {
            let owner = controller(&object.metadata, name)
                .and_then(|owner| self.by_name.get(&owner))
                .copied();
            let template = object.spec.as_ref().and_then(|s| s.template.as_ref());
            let Some(index) = owner else {
                if object.metadata.owner_references.is_none() {
                    self.push(
                        name,
                        evidence,
                        template,
                        Some(object.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)),
                    );
                }
                continue;
            };
            self.by_name.insert(name.clone(), index);
            let number = annotation(&object.metadata, REVISION).and_then(|text| text.parse().ok());
            let (Some(number), Some(template)) = (number, template) else {
                continue;
            };
            let revision = Revision {
                number,
                name,
                template: Cow::Borrowed(template),
                created: created(&object.metadata),
                ready: object.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0),
                evidence,
            };
            if let Some(workload) = self.workloads.get_mut(index) {
                workload.revisions.push(revision);
            }
        }
    }

    fn add_controller_revisions(&mut self) {
        let case = self.case;
        for (name, object, evidence) in case.all::<ControllerRevision>() {
            let owner = controller(&object.metadata, name)
                .and_then(|owner| self.by_name.get(&owner))
                .copied();
            let template = object
                .data
                .as_ref()
                .and_then(|data| data.0.get("spec"))
                .and_then(|spec| spec.get("template"))
                .and_then(|template| serde_json::from_value::<PodTemplateSpec>(template.clone()).ok());
            let (Some(workload), Some(template)) = (owner.and_then(|index| self.workloads.get_mut(index)), template)
            else {
                continue;
            };
            workload.revisions.push(Revision {
                number: object.revision,
                name,
                template: Cow::Owned(template),
                created: created(&object.metadata),
                ready: 0,
                evidence,
            });
        }
        for workload in &mut self.workloads {
            workload.revisions.sort_by_key(|revision| revision.number);
        }
    }

    fn add_pods(&mut self) {
        let case = self.case;
        for (name, pod, evidence) in case.all::<Pod>() {
            let owner = controller(&pod.metadata, name);
            let index = match owner {
                Some(owner) => match self.by_name.get(&owner) {
                    Some(index) => *index,
                    None => self.push(&owner, evidence, None, None),
                },
                None => self.push(name, evidence, None, Some(1)),
            };
            self.owner_of.insert(name.clone(), index);
            if let Some(workload) = self.workloads.get_mut(index) {
                workload.pods.push(PodFacts {
                    name,
                    pod,
                    evidence,
                    revision_hash: label(&pod.metadata, "pod-template-hash")
                        .or_else(|| label(&pod.metadata, "controller-revision-hash")),
                });
            }
        }
    }

    fn add_services(&mut self) {
        let case = self.case;
        // Label → pods, so that many Services over many pods stay near-linear.
        let mut by_label: BTreeMap<Label<'_>, Vec<(usize, usize)>> = BTreeMap::new();
        for (w, workload) in self.workloads.iter().enumerate() {
            for (p, pod) in workload.pods.iter().enumerate() {
                for (key, value) in pod.pod.metadata.labels.iter().flatten() {
                    by_label
                        .entry((pod.namespace(), key.as_str(), value.as_str()))
                        .or_default()
                        .push((w, p));
                }
            }
        }
        let mut templates: BTreeMap<Label<'_>, Vec<usize>> = BTreeMap::new();
        for (w, workload) in self.workloads.iter().enumerate() {
            for (key, value) in workload.labels() {
                templates
                    .entry((workload.namespace(), key.as_str(), value.as_str()))
                    .or_default()
                    .push(w);
            }
        }
        let mut services = Vec::new();
        for (name, service, evidence) in case.all::<Service>() {
            let Some(selector) = selector_of(service) else {
                services.push(ServiceFacts {
                    name,
                    service,
                    evidence,
                    workloads: Vec::new(),
                    selected: 0,
                    ready: 0,
                });
                continue;
            };
            let namespace = name.namespace.as_deref().unwrap_or_default();
            let mut workloads = Vec::new();
            let (mut selected, mut ready) = (0, 0);
            if let Some((key, value)) = selector.iter().min_by_key(|(key, value)| {
                by_label
                    .get(&(namespace, key.as_str(), value.as_str()))
                    .map_or(0, Vec::len)
            }) {
                for (w, p) in by_label
                    .get(&(namespace, key.as_str(), value.as_str()))
                    .into_iter()
                    .flatten()
                {
                    let Some(pod) = self.workloads.get(*w).and_then(|workload| workload.pods.get(*p)) else {
                        continue;
                    };
                    if pod.is_over() || !selects(selector, pod.pod.metadata.labels.as_ref()) {
                        continue;
                    }
                    selected += 1;
                    ready += usize::from(pod.is_ready());
                    workloads.push(*w);
                }
            }
            if let Some((key, value)) = selector.iter().min_by_key(|(key, value)| {
                templates
                    .get(&(namespace, key.as_str(), value.as_str()))
                    .map_or(0, Vec::len)
            }) {
                for w in templates
                    .get(&(namespace, key.as_str(), value.as_str()))
                    .into_iter()
                    .flatten()
                {
                    if self
                        .workloads
                        .get(*w)
                        .is_some_and(|workload| selects(selector, Some(workload.labels_map())))
                    {
                        workloads.push(*w);
                    }
                }
            }
            workloads.sort_unstable();
            workloads.dedup();
            services.push(ServiceFacts {
                name,
                service,
                evidence,
                workloads,
                selected,
                ready,
            });
        }
        self.services = services;
    }

    /// The workload of that name; also by the name of one of its pods, ReplicaSets or Jobs.
    pub fn workload(&self, name: &ObjectName) -> Option<&Workload<'a>> {
        let index = self.by_name.get(name).or_else(|| self.owner_of.get(name))?;
        self.workloads.get(*index)
    }

    /// The Service of that name in that namespace.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&ServiceFacts<'a>> {
        self.services
            .iter()
            .find(|service| service.name.name == name && service.name.namespace.as_deref() == Some(namespace))
    }

    /// Events about that object.
    pub fn events(&self, name: &ObjectName) -> &[&'a EventRecord] {
        self.events_of.get(name).map_or(&[], Vec::as_slice)
    }

    /// Events about any of that workload's pods, its ReplicaSets or itself.
    pub fn events_around<'s>(&'s self, workload: &'s Workload<'a>) -> impl Iterator<Item = &'a EventRecord> + 's {
        let own = self.events(&workload.name).iter().copied();
        let revisions = workload
            .revisions
            .iter()
            .flat_map(|revision| self.events(revision.name).iter().copied());
        // A pod without owner is its own workload.
        let pods = workload
            .pods
            .iter()
            .filter(|pod| *pod.name != workload.name)
            .flat_map(|pod| self.events(pod.name).iter().copied());
        own.chain(revisions).chain(pods)
    }

    /// Logs of that pod's container, the present run first.
    pub fn logs<'s>(&'s self, pod: &'s ObjectName, container: &'s str) -> impl Iterator<Item = &'a LogRecord> + 's {
        let of = move |previous: bool, earlier: bool| {
            self.case.logs().iter().filter(move |log| {
                log.previous == previous && log.earlier == earlier && log.pod == *pod && log.container == container
            })
        };
        of(false, false).chain(of(false, true)).chain(of(true, false))
    }
}
