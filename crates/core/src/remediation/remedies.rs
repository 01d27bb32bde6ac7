//! One remedy as actions: what evidence fixes becomes typed actions on observed objects; what it does not fix becomes a sentence that
//! says what a person must supply. Pure; must never complete a value by itself. Called by `plan`.
//!
//! **Who sees a changed ConfigMap.** Environment variables are read when a container starts. A container that is waiting for the key
//! (`CreateContainerConfigError`) is tried again by the kubelet every few seconds and needs nothing else. One that runs, or that the
//! kubelet restarts with growing pauses of up to five minutes, needs new pods: so a restart of the rollout follows the change.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde_json::Value;

use super::action::{Action, Change, Container, EnvPlace, Section, ServiceField};
use super::{objects, ownership};
use crate::api::ObjectName;
use crate::diagnosis::CaseFile;
use crate::diagnosis::case_file::Entry;
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};
use std::str::FromStr;

/// What the sandbox's redaction leaves in place of a secret: never to be written back.
const REDACTED: &str = "[redacted:";

/// What a remedy comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Proposal {
    /// These actions, in this order, resting on this evidence beside the finding's own.
    Actions {
        /// The actions.
        actions: Vec<Action>,
        /// What a person should see of it: the difference of pod templates.
        diff: Option<String>,
        /// Where values were read.
        evidence: Vec<String>,
    },
    /// A person must do it, and why.
    Manual(String),
    /// The object belongs to a tool; the change belongs to its source.
    AtSource {
        /// Why.
        reason: String,
        /// The change, and where.
        fix: String,
    },
}

struct Planning<'a> {
    case: &'a CaseFile,
    namespace: &'a str,
}

/// What a remedy comes to, in this namespace.
pub fn propose(remedy: &Remedy, case: &CaseFile, namespace: &str) -> Proposal {
    let planning = Planning { case, namespace };
    match planning.build(remedy) {
        Err(reason) => Proposal::Manual(reason),
        Ok((actions, diff, evidence)) => {
            for action in &actions {
                let target = action.target();
                let name = ObjectName {
                    kind: target.kind.clone(),
                    namespace: target.namespace.clone(),
                    name: target.name.clone(),
                };
                let metadata = case.entry(&name).and_then(|entry| entry.object.metadata());
                if let Some(source) = metadata.and_then(ownership::source) {
                    return Proposal::AtSource {
                        reason: format!(
                            "{name} is written by {source}: a change in the cluster would be reverted there"
                        ),
                        fix: format!("In {source}: {}", action.summary()),
                    };
                }
            }
            Proposal::Actions {
                actions,
                diff,
                evidence,
            }
        }
    }
}

type Built = (Vec<Action>, Option<String>, Vec<String>);

impl Planning<'_> {
    fn build(&self, remedy: &Remedy) -> Result<Built, String> {
        let plain = |action: Action| Ok((vec![action], None, Vec::new()));
        match remedy {
            Remedy::MissingConfigMapKey {
                config_map,
                key,
                value,
                consumer,
            } => {
                let known = self.known(
                    value.as_ref(),
                    &format!("{config_map} lacks the key {key}, which {} needs", consumer.workload),
                    &format!(
                        "kubectl patch configmap {} -n {} --type=merge -p '{{\"data\":{{\"{key}\":\"…\"}}}}'",
                        config_map.name, self.namespace
                    ),
                )?;
                self.config_map_key(config_map, key, None, known, consumer)
            }
            Remedy::WrongConfigMapValue {
                config_map,
                key,
                from,
                to,
                consumer,
            } => {
                let known = self.known(
                    to.as_ref(),
                    &format!("{key} of {config_map} is wrong ({from:?})"),
                    &format!("kubectl edit configmap {} -n {}", config_map.name, self.namespace),
                )?;
                self.config_map_key(config_map, key, Some(from), known, consumer)
            }
            Remedy::Env {
                container,
                name,
                from,
                to,
            } => {
                let known = self.known(
                    to.as_ref(),
                    &format!("{} needs {name}", container.workload),
                    &format!(
                        "kubectl set env {}/{} -n {} -c {} {name}=…",
                        container.workload.kind.to_lowercase(),
                        container.workload.name,
                        self.namespace,
                        container.container
                    ),
                )?;
                let action = self.env(container, name, from.as_deref(), &known.value)?;
                Ok((vec![action], None, known.evidence.clone()))
            }
            Remedy::BadRevision {
                workload,
                from_revision,
                to_revision,
                diff,
            } => {
                let action = self.action(
                    workload,
                    Change::RollbackRollout {
                        from_revision: *from_revision,
                        to_revision: *to_revision,
                    },
                )?;
                Ok((vec![action], Some(diff.clone()), Vec::new()))
            }
            Remedy::ScaleOut { workload, from, to, .. } | Remedy::ScaleUp { workload, from, to } => {
                if let Some(hpa) = self.autoscaler(workload) {
                    return Err(format!(
                        "HorizontalPodAutoscaler/{hpa} chooses the replicas of {workload}: change its bounds, not the workload"
                    ));
                }
                plain(self.action(workload, Change::Scale { from: *from, to: *to })?)
            }
            Remedy::HpaMaximum { hpa, from, to } => plain(self.action(
                hpa,
                Change::PatchHpa {
                    field: "maxReplicas".to_owned(),
                    from: *from,
                    to: *to,
                },
            )?),
            Remedy::ServiceSelector { service, key, from, to } => plain(self.action(
                service,
                Change::PatchService {
                    field: ServiceField::Selector(key.clone()),
                    from: from.clone(),
                    to: fixed(to.as_ref(), &format!("the label {key} that {service} should select"))?,
                },
            )?),
            Remedy::ServicePort {
                service,
                index,
                from,
                to,
            } => plain(self.action(
                service,
                Change::PatchService {
                    field: ServiceField::TargetPort(i32::try_from(*index).map_err(|_| "too many ports".to_owned())?),
                    from: from.clone(),
                    to: fixed(to.as_ref(), &format!("the port that {service} should send to"))?,
                },
            )?),
            Remedy::ProbePort {
                container,
                probe,
                handler,
                from,
                to,
            } => {
                let (place, _) = self.container(container)?;
                plain(self.action(
                    &container.workload,
                    Change::PatchProbe {
                        container: place,
                        field: format!("{probe}.{handler}.port"),
                        from: from.clone(),
                        to: fixed(
                            to.as_ref(),
                            &format!("the port that {} listens on", container.container),
                        )?,
                    },
                )?)
            }
            Remedy::Resources {
                container,
                field,
                from,
                to,
            } => plain(self.resources(container, field, from.as_ref(), to.as_ref())?),
            Remedy::Image { container, from, to } => {
                let known = self.known(
                    to.as_ref(),
                    &format!("the image {from} of {} cannot be used", container.workload),
                    &format!(
                        "kubectl set image {}/{} -n {} {}=…",
                        container.workload.kind.to_lowercase(),
                        container.workload.name,
                        self.namespace,
                        container.container
                    ),
                )?;
                let (place, _) = self.container(container)?;
                let action = self.action(
                    &container.workload,
                    Change::SetImage {
                        container: place,
                        from: from.clone(),
                        to: known.value.clone(),
                    },
                )?;
                Ok((vec![action], None, known.evidence.clone()))
            }
            Remedy::Quota {
                quota,
                resource,
                from,
                to,
            } => plain(self.action(
                quota,
                Change::PatchQuota {
                    resource: resource.clone(),
                    from: from.clone(),
                    to: fixed(to.as_ref(), &format!("how much {resource} {quota} should allow"))?,
                },
            )?),
            Remedy::DisruptionBudget {
                budget,
                field,
                from,
                to,
            } => plain(self.action(
                budget,
                Change::PatchPdb {
                    field: field.clone(),
                    from: from.clone(),
                    to: fixed(to.as_ref(), &format!("{field} of {budget}"))?,
                },
            )?),
            Remedy::ResumeCronJob { cron_job } => plain(self.action(cron_job, Change::ResumeCronJob)?),
            Remedy::SuspendCronJob { cron_job } => plain(self.action(cron_job, Change::SuspendCronJob)?),
            Remedy::UncordonNode { node } => Err(format!(
                "{node} belongs to no namespace, so an incident of one namespace may not change it: kubectl uncordon {}",
                node.name
            )),
            Remedy::Restart { workload, reason } => {
                let action = self.restart(workload)?;
                Ok((vec![action], Some(reason.clone()), Vec::new()))
            }
            Remedy::Manual { instruction } => Err(instruction.clone()),
        }
    }

    /// A value that evidence shows, or what a person must supply.
    #[allow(clippy::unused_self, reason = "reads better beside the others")]
    fn known<'k>(&self, value: Option<&'k KnownValue>, lack: &str, command: &str) -> Result<&'k KnownValue, String> {
        match value {
            None => Err(format!(
                "{lack}; no evidence shows the right value, so a person must supply it: {command}"
            )),
            Some(known) if known.value.contains(REDACTED) => Err(format!(
                "{lack}; the value in {} looks like a secret and was not read, so a person must supply it: {command}",
                known.source
            )),
            Some(known) => Ok(known),
        }
    }

    fn entry(&self, name: &ObjectName) -> Result<&Entry, String> {
        if name.namespace.as_deref() != Some(self.namespace) {
            return Err(format!(
                "{name} lies in namespace {}, outside the incident's: it must be changed by those who own it",
                name.namespace.as_deref().unwrap_or("(none)")
            ));
        }
        self.case
            .entry(name)
            .ok_or_else(|| format!("{name} was not seen, so nothing about it can be changed"))
    }

    fn action(&self, name: &ObjectName, change: Change) -> Result<Action, String> {
        let entry = self.entry(name)?;
        Action::new(objects::target(name, entry), change)
            .map_err(|error| format!("{name} cannot be changed by Firewatch: {error}"))
    }

    fn container(&self, of: &ContainerRef) -> Result<(Container, Value), String> {
        let entry = self.entry(&of.workload)?;
        let object = objects::json(&entry.object);
        objects::container(&of.workload.kind, &object, &of.container)
            .map(|(place, found)| (place, found.clone()))
            .ok_or_else(|| {
                format!(
                    "{} has no container {} that Firewatch may change",
                    of.workload, of.container
                )
            })
    }

    fn config_map_key(
        &self,
        name: &ObjectName,
        key: &str,
        from: Option<&String>,
        known: &KnownValue,
        consumer: &ContainerRef,
    ) -> Result<Built, String> {
        let entry = self.entry(name)?;
        let map = self
            .case
            .get::<ConfigMap>(&name.name)
            .ok_or_else(|| format!("{name} could not be read"))?;
        if map.immutable == Some(true) {
            return Err(format!(
                "{name} is immutable: make another one with {key}={:?} and let {} use it",
                known.value, consumer.workload
            ));
        }
        let now = map.data.as_ref().and_then(|data| data.get(key));
        if now != from {
            return Err(format!("{key} of {name} is not as the diagnosis says; look again"));
        }
        if now.is_some_and(|value| value.contains(REDACTED)) {
            return Err(format!(
                "the value of {key} in {name} looks like a secret: a person must change it"
            ));
        }
        let change = Change::PatchConfigMapKey {
            key: key.to_owned(),
            parent_absent: map.data.as_ref().is_none_or(std::collections::BTreeMap::is_empty),
            from: from.cloned(),
            to: Some(known.value.clone()),
        };
        let patch = Action::new(objects::target(name, entry), change)
            .map_err(|error| format!("{name} cannot be changed by Firewatch: {error}"))?;
        let mut actions = vec![patch];
        if !self.waits_for_configuration(consumer)
            && let Ok(restart) = self.restart(&consumer.workload)
        {
            actions.push(restart);
        }
        Ok((actions, None, known.evidence.clone()))
    }

    /// Whether every pod of the consumer waits for its configuration: then the kubelet tries again by itself.
    fn waits_for_configuration(&self, consumer: &ContainerRef) -> bool {
        let mut waiting = false;
        for (_, pod, _) in self.case.all::<Pod>() {
            let statuses = pod
                .status
                .iter()
                .flat_map(|status| status.container_statuses.iter().flatten());
            for status in statuses.filter(|status| status.name == consumer.container) {
                if !objects::belongs(pod, &consumer.workload) {
                    continue;
                }
                let reason = status
                    .state
                    .as_ref()
                    .and_then(|state| state.waiting.as_ref())
                    .and_then(|waiting| waiting.reason.as_deref());
                if reason != Some("CreateContainerConfigError") {
                    return false;
                }
                waiting = true;
            }
        }
        waiting
    }

    fn restart(&self, workload: &ObjectName) -> Result<Action, String> {
        let seconds = self.case.now().as_second();
        let mark = k8s_openapi::jiff::Timestamp::from_second(seconds).map_err(|error| error.to_string())?;
        self.action(workload, Change::RestartRollout { mark: mark.to_string() })
    }

    fn env(&self, of: &ContainerRef, name: &str, from: Option<&str>, to: &str) -> Result<Action, String> {
        let (place, found) = self.container(of)?;
        let list = found
            .get("env")
            .and_then(Value::as_array)
            .filter(|list| !list.is_empty());
        let at = list
            .into_iter()
            .flatten()
            .position(|one| one.get("name").and_then(Value::as_str) == Some(name));
        let held = at.and_then(|index| list.and_then(|list| list.get(index)));
        if held.is_some_and(|one| one.get("valueFrom").is_some()) {
            return Err(format!(
                "{name} of {} comes from elsewhere; change it there",
                of.workload
            ));
        }
        let index = |index: usize| i32::try_from(index).map_err(|_| "too many variables".to_owned());
        let (place_in_list, from) = match (list, at, held) {
            (Some(_), Some(at), Some(held)) => {
                let value = held.get("value").and_then(Value::as_str).unwrap_or("");
                if from.is_some_and(|from| from != value) || value.contains(REDACTED) {
                    return Err(format!(
                        "{name} of {} is not as the diagnosis says; look again",
                        of.workload
                    ));
                }
                (EnvPlace::At(index(at)?), Some(value.to_owned()))
            }
            (Some(list), ..) => {
                let entry = self.entry(&of.workload)?;
                let generation = entry
                    .object
                    .metadata()
                    .and_then(|metadata| metadata.generation)
                    .ok_or_else(|| format!("the generation of {} is not known", of.workload))?;
                (
                    EnvPlace::Append {
                        index: index(list.len())?,
                        generation,
                    },
                    None,
                )
            }
            (None, ..) => (EnvPlace::NewList, None),
        };
        self.action(
            &of.workload,
            Change::SetEnv {
                container: place,
                name: name.to_owned(),
                place: place_in_list,
                from,
                to: Some(to.to_owned()),
            },
        )
    }

    fn resources(
        &self,
        of: &ContainerRef,
        field: &str,
        from: Option<&String>,
        to: Option<&String>,
    ) -> Result<Action, String> {
        let to = fixed(to, &format!("{field} of {}", of.workload))?;
        let (place, found) = self.container(of)?;
        let (section, resource) = field.split_once('.').unwrap_or((field, ""));
        let section =
            Section::from_str(section).map_err(|_| format!("{field} is no part of a container's resources"))?;
        let held = found
            .get("resources")
            .and_then(|resources| resources.get(section.as_ref()));
        self.action(
            &of.workload,
            Change::SetResources {
                container: place,
                section,
                resource: resource.to_owned(),
                parent_absent: held.is_none_or(Value::is_null),
                from: from.cloned(),
                to: Some(to),
            },
        )
    }

    /// The autoscaler that chooses a workload's replicas.
    fn autoscaler(&self, workload: &ObjectName) -> Option<String> {
        self.case
            .all::<HorizontalPodAutoscaler>()
            .find(|(_, hpa, _)| {
                hpa.spec.as_ref().is_some_and(|spec| {
                    spec.scale_target_ref.kind == workload.kind && spec.scale_target_ref.name == workload.name
                })
            })
            .map(|(name, _, _)| name.name.clone())
    }
}

fn fixed(value: Option<&String>, what: &str) -> Result<String, String> {
    value
        .cloned()
        .ok_or_else(|| format!("no evidence shows the right value, so a person must supply it: {what}"))
}
