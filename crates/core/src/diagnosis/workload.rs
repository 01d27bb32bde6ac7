//! Workloads, pods, revisions and Services as the analyzers ask about them: what should run, what is ready, how it ended.
//! Plain readings of typed objects. Made by `facts`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStatus, Pod, PodSpec, PodTemplateSpec, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::jiff::Timestamp;

use crate::api::ObjectName;

/// Something that runs pods.
#[derive(Debug)]
pub struct Workload<'a> {
    /// Deployment, StatefulSet, DaemonSet, Job, CronJob, a ReplicaSet or pod of its own, or an owner of a kind that is not known.
    pub name: ObjectName,
    /// Evidence that holds it.
    pub evidence: &'a str,
    /// Its pod template, where it has one.
    pub template: Option<&'a PodTemplateSpec>,
    /// How many pods it should have.
    pub desired: Option<i32>,
    /// Its pods.
    pub pods: Vec<PodFacts<'a>>,
    /// Its revisions, oldest first.
    pub revisions: Vec<Revision<'a>>,
}

/// One pod.
#[derive(Debug)]
pub struct PodFacts<'a> {
    /// Its name.
    pub name: &'a ObjectName,
    /// As it was read.
    pub pod: &'a Pod,
    /// Evidence that holds it.
    pub evidence: &'a str,
    /// `pod-template-hash` or `controller-revision-hash`.
    pub revision_hash: Option<&'a str>,
}

/// One revision of a workload's pod template.
#[derive(Debug)]
pub struct Revision<'a> {
    /// Its number.
    pub number: i64,
    /// The ReplicaSet or ControllerRevision.
    pub name: &'a ObjectName,
    /// The template.
    pub template: Cow<'a, PodTemplateSpec>,
    /// When it was made first.
    pub created: Option<Timestamp>,
    /// Pods of it that are ready, where that is known.
    pub ready: i32,
    /// Evidence that holds it.
    pub evidence: &'a str,
}

/// One Service.
#[derive(Debug)]
pub struct ServiceFacts<'a> {
    /// Its name.
    pub name: &'a ObjectName,
    /// As it was read.
    pub service: &'a Service,
    /// Evidence that holds it.
    pub evidence: &'a str,
    /// Workloads of which it selects pods, or would, by their template.
    pub workloads: Vec<usize>,
    /// Pods that it selects.
    pub selected: usize,
    /// Those that are ready.
    pub ready: usize,
}

impl<'a> Workload<'a> {
    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.name.namespace.as_deref().unwrap_or_default()
    }

    /// The pod spec that counts: of its template, or of its pod where it has none.
    pub fn pod_spec(&self) -> Option<&'a PodSpec> {
        self.template
            .and_then(|template| template.spec.as_ref())
            .or_else(|| self.pods.first().and_then(|pod| pod.pod.spec.as_ref()))
    }

    /// Its containers, without init containers.
    pub fn containers(&self) -> &'a [Container] {
        self.pod_spec().map_or(&[], |spec| spec.containers.as_slice())
    }

    /// One of its containers or init containers.
    pub fn container(&self, name: &str) -> Option<&'a Container> {
        let spec = self.pod_spec()?;
        spec.containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
            .find(|container| container.name == name)
    }

    pub(super) fn labels_map(&self) -> &'a BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.template
            .and_then(|template| template.metadata.as_ref())
            .and_then(|metadata| metadata.labels.as_ref())
            .or_else(|| self.pods.first().and_then(|pod| pod.pod.metadata.labels.as_ref()))
            .unwrap_or(&NONE)
    }

    /// Labels of its pods.
    pub fn labels(&self) -> impl Iterator<Item = (&'a String, &'a String)> + use<'a> {
        self.labels_map().iter()
    }

    /// One label of its pods.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.labels_map().get(key).map(String::as_str)
    }

    /// Pods that serve.
    pub fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| pod.is_ready()).count()
    }

    /// Whether it should run all the time (no Job, no CronJob).
    pub fn is_service(&self) -> bool {
        !matches!(self.name.kind.as_str(), "Job" | "CronJob")
            && self
                .pod_spec()
                .and_then(|spec| spec.restart_policy.as_deref())
                .unwrap_or("Always")
                == "Always"
    }

    /// The revision now and the one before it.
    pub fn last_two(&self) -> Option<(&Revision<'a>, &Revision<'a>)> {
        let (now, earlier) = self.revisions.split_last()?;
        earlier.last().map(|before| (now, before))
    }
}

impl PodFacts<'_> {
    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.name.namespace.as_deref().unwrap_or_default()
    }

    /// Ended, for good or bad, and not to be started again.
    pub fn is_over(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// `Pending`, `Running`, …
    pub fn phase(&self) -> &str {
        self.pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .unwrap_or_default()
    }

    /// Being deleted.
    pub fn is_going(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Its condition of that type: status, and since when.
    pub fn condition(&self, type_: &str) -> Option<(&str, Option<Timestamp>)> {
        self.pod
            .status
            .as_ref()?
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == type_)
            .map(|condition| {
                (
                    condition.status.as_str(),
                    condition.last_transition_time.as_ref().map(|time| time.0),
                )
            })
    }

    /// Takes traffic.
    pub fn is_ready(&self) -> bool {
        !self.is_going() && self.condition("Ready").is_some_and(|(status, _)| status == "True")
    }

    /// Whether a container of it has ever run: then its volumes were there, whatever an older event says.
    pub fn has_run(&self) -> bool {
        self.statuses().any(|(status, _)| {
            let ran = |state: &ContainerState| state.running.is_some() || state.terminated.is_some();
            status.state.as_ref().is_some_and(ran) || status.last_state.as_ref().is_some_and(ran)
        })
    }

    /// Statuses of its containers; `true` for init containers.
    pub fn statuses(&self) -> impl Iterator<Item = (&ContainerStatus, bool)> {
        let status = self.pod.status.as_ref();
        let init = status
            .and_then(|s| s.init_container_statuses.as_ref())
            .into_iter()
            .flatten()
            .map(|s| (s, true));
        let main = status
            .and_then(|s| s.container_statuses.as_ref())
            .into_iter()
            .flatten()
            .map(|s| (s, false));
        init.chain(main)
    }

    /// When it was made.
    pub fn created(&self) -> Option<Timestamp> {
        created(&self.pod.metadata)
    }
}

/// How a container's last run ended, or this one, if it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended<'a> {
    /// Exit code.
    pub exit_code: i32,
    /// `OOMKilled`, `Error`, …
    pub reason: &'a str,
    /// What the runtime said.
    pub message: &'a str,
    /// Begun.
    pub started: Option<Timestamp>,
    /// Ended.
    pub finished: Option<Timestamp>,
}

/// The present or last end of a container.
pub fn ended(status: &ContainerStatus) -> Option<Ended<'_>> {
    let pick = [&status.state, &status.last_state]
        .into_iter()
        .find_map(|state| state.as_ref().and_then(|state| state.terminated.as_ref()))?;
    Some(Ended {
        exit_code: pick.exit_code,
        reason: pick.reason.as_deref().unwrap_or_default(),
        message: pick.message.as_deref().unwrap_or_default(),
        started: pick.started_at.as_ref().map(|time| time.0),
        finished: pick.finished_at.as_ref().map(|time| time.0),
    })
}

/// Why a container waits: reason and message.
pub fn waiting(status: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.as_deref().unwrap_or_default(),
        waiting.message.as_deref().unwrap_or_default(),
    ))
}

/// When an object was made.
pub fn created(metadata: &ObjectMeta) -> Option<Timestamp> {
    metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// One annotation.
pub fn annotation<'m>(metadata: &'m ObjectMeta, key: &str) -> Option<&'m str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

pub(super) fn label<'m>(metadata: &'m ObjectMeta, key: &str) -> Option<&'m str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The controller that owns an object, in the object's own namespace.
pub fn controller(metadata: &ObjectMeta, own: &ObjectName) -> Option<ObjectName> {
    let owner = metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))?;
    Some(ObjectName {
        kind: owner.kind.clone(),
        namespace: own.namespace.clone(),
        name: owner.name.clone(),
    })
}

/// A Service's selector; none where it has none and its endpoints are made by hand.
pub fn selector_of(service: &Service) -> Option<&BTreeMap<String, String>> {
    service
        .spec
        .as_ref()?
        .selector
        .as_ref()
        .filter(|selector| !selector.is_empty())
}

/// Whether every label of the selector is there.
pub fn selects(selector: &BTreeMap<String, String>, labels: Option<&BTreeMap<String, String>>) -> bool {
    labels.is_some_and(|labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// Whether a label selector selects; expressions included.
pub fn matches(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    let get = |key: &str| labels.and_then(|labels| labels.get(key));
    selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| get(key) == Some(value))
        && selector.match_expressions.iter().flatten().all(|expression| {
            let values = expression.values.as_deref().unwrap_or_default();
            let value = get(&expression.key);
            match expression.operator.as_str() {
                "In" => value.is_some_and(|value| values.contains(value)),
                "NotIn" => value.is_none_or(|value| !values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
