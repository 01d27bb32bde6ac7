//! Configuration: keys of ConfigMaps, and which ConfigMap or key a pod template reads.
//!
//! **Who sees a changed ConfigMap.** Environment variables are read when a container starts. A container that is waiting for the key
//! (`CreateContainerConfigError`) is tried again by the kubelet every few seconds and needs nothing else. One that runs, or that the
//! kubelet restarts with growing pauses of up to five minutes, needs new pods: so a restart of the rollout follows the change.
//! Must never touch a Secret, or a reference to one. Called by `remedies`.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde_json::Value;

use super::{Built, Planning, REDACTED, is_secret};
use crate::api::ObjectName;
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};
use crate::remediation::action::Action;
use crate::remediation::change::{Change, Container, RefPlace};
use crate::remediation::objects;

impl Planning<'_> {
    pub(super) fn configuration(&self, remedy: &Remedy) -> Result<Built, String> {
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
                        config_map.name, self.reach.namespace
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
                    &wrong(key, config_map, from),
                    &format!("kubectl edit configmap {} -n {}", config_map.name, self.reach.namespace),
                )?;
                self.config_map_key(config_map, key, Some(from), known, consumer)
            }
            Remedy::ConfigMapReference {
                workload,
                config_map,
                key,
                to,
            } => {
                let shown = key
                    .as_ref()
                    .map_or_else(|| config_map.clone(), |key| format!("{config_map}/{key}"));
                let known = self.known(
                    to.as_ref(),
                    &format!("{workload} refers to ConfigMap {shown}, which does not exist"),
                    &self.by_hand("edit", workload),
                )?;
                self.config_map_reference(workload, config_map, key.as_deref(), known)
            }
            _ => Err("no remedy is known".to_owned()),
        }
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
        Ok(Built {
            actions,
            diff: None,
            evidence: known.evidence.clone(),
        })
    }

    /// Every place of the pod template that refers to what does not exist; each must be put right for a pod to start.
    fn config_map_reference(
        &self,
        workload: &ObjectName,
        config_map: &str,
        key: Option<&str>,
        known: &KnownValue,
    ) -> Result<Built, String> {
        let object = objects::json(&self.entry(workload)?.object);
        let spec = objects::pod_spec(&workload.kind, &object)
            .ok_or_else(|| format!("{workload} has no pod template that Firewatch may change"))?;
        let mut actions = Vec::new();
        for (place, from) in references(spec) {
            let to = match (key, from.split_once('/')) {
                (Some(key), Some((map, held))) if map == config_map && held == key => format!("{map}/{}", known.value),
                (None, Some((map, held))) if map == config_map => format!("{}/{held}", known.value),
                (None, None) if from == config_map => known.value.clone(),
                _ => continue,
            };
            actions.push(self.action(workload, Change::SetConfigMapRef { place, from, to })?);
        }
        if actions.is_empty() {
            return Err(format!(
                "{workload} does not refer to ConfigMap {config_map} as the diagnosis says; look again"
            ));
        }
        Ok(Built {
            actions,
            diff: None,
            evidence: known.evidence.clone(),
        })
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
}

/// The lack in words, without a value that may be a credential.
fn wrong(key: &str, config_map: &ObjectName, from: &str) -> String {
    if is_secret(key, from) {
        format!("{key} of {config_map} is wrong, and may be a credential, which Firewatch neither reads nor writes")
    } else {
        format!("{key} of {config_map} is wrong ({from:?})")
    }
}

/// Where a pod's spec refers to ConfigMaps, and to which: `MAP/KEY`, or `MAP`. What is optional fails nobody, and is left out.
fn references(spec: &Value) -> Vec<(RefPlace, String)> {
    let list = |of: &Value, key: &str| of.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let optional = |of: &Value| of.get("optional").and_then(Value::as_bool) == Some(true);
    let at = |index: usize| i32::try_from(index).unwrap_or(i32::MAX);
    let mut found = Vec::new();
    for init in [true, false] {
        let key = if init { "initContainers" } else { "containers" };
        for (index, one) in list(spec, key).iter().enumerate() {
            let container = Container {
                name: text(one, "name").unwrap_or_default(),
                index: at(index),
                init,
            };
            for (index, variable) in list(one, "env").iter().enumerate() {
                let reference = variable
                    .pointer("/valueFrom/configMapKeyRef")
                    .filter(|of| !optional(of));
                if let Some((reference, name)) = reference.zip(text(variable, "name"))
                    && let Some((map, key)) = text(reference, "name").zip(text(reference, "key"))
                {
                    let place = RefPlace::Env {
                        container: container.clone(),
                        index: at(index),
                        name,
                    };
                    found.push((place, format!("{map}/{key}")));
                }
            }
            for (index, source) in list(one, "envFrom").iter().enumerate() {
                let reference = source.get("configMapRef").filter(|of| !optional(of));
                if let Some(map) = reference.and_then(|of| text(of, "name")) {
                    let place = RefPlace::EnvFrom {
                        container: container.clone(),
                        index: at(index),
                    };
                    found.push((place, map));
                }
            }
        }
    }
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let reference = volume.get("configMap").filter(|of| !optional(of));
        if let Some((map, name)) = reference.and_then(|of| text(of, "name")).zip(text(volume, "name")) {
            found.push((RefPlace::Volume { index: at(index), name }, map));
        }
    }
    found
}
