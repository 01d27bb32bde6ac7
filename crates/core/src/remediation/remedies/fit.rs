//! Whether a container's new request or limit has room: on a node, in the namespace's quotas, within its limit ranges. A value that has
//! none would leave the pods pending or refused, which is worse than what it repairs. Called by `templates`.

use k8s_openapi::api::core::v1::{LimitRange, Node, ResourceQuota};

use super::Planning;
use crate::api::ObjectName;
use crate::diagnosis::quantity;
use crate::remediation::objects;

impl Planning<'_> {
    /// `Err`: what stands against it, for a person.
    pub(super) fn fits(&self, workload: &ObjectName, field: &str, from: Option<&str>, to: &str) -> Result<(), String> {
        let (section, resource) = field.split_once('.').unwrap_or((field, ""));
        let amount = |text: &str| amount(resource, text);
        let Some(wanted) = amount(to) else { return Ok(()) };
        let more = wanted.saturating_sub(from.and_then(amount).unwrap_or(0));
        if more == 0 {
            return Ok(());
        }
        let against = |what: String| {
            Err(format!(
                "{workload} needs {field} of {to}, but {what}: a person must make room, or lower what it needs"
            ))
        };
        let largest = self
            .case
            .all::<Node>()
            .filter_map(|(name, node, _)| {
                let text = &node.status.as_ref()?.allocatable.as_ref()?.get(resource)?.0;
                Some((amount(text)?, name, text))
            })
            .max_by_key(|(value, ..)| *value);
        if let Some((value, node, text)) = largest
            && wanted > value
        {
            return against(format!("{node}, the largest, has {text}"));
        }
        for (name, range, _) in self.case.all::<LimitRange>() {
            let limits = range.spec.iter().flat_map(|spec| &spec.limits);
            for one in limits.filter(|one| one.type_ == "Container") {
                let most = one.max.as_ref().and_then(|max| max.get(resource)).map(|most| &most.0);
                if let Some(most) = most.filter(|most| amount(most).is_some_and(|most| wanted > most)) {
                    return against(format!("{name} allows a container {most}"));
                }
            }
        }
        let replicas = self
            .case
            .entry(workload)
            .and_then(|entry| objects::json(&entry.object).pointer("/spec/replicas")?.as_u64())
            .unwrap_or(1);
        // A quota's `memory` is its `requests.memory`.
        let keys = if section == "requests" {
            vec![field, resource]
        } else {
            vec![field]
        };
        for (name, quota, _) in self.case.all::<ResourceQuota>() {
            let Some(status) = &quota.status else { continue };
            for key in &keys {
                let of = |map: &Option<std::collections::BTreeMap<String, _>>| {
                    map.as_ref()
                        .and_then(|map| map.get(*key))
                        .map(|text: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| text.0.clone())
                };
                let (Some(hard), Some(used)) = (of(&status.hard), of(&status.used)) else {
                    continue;
                };
                let after = amount(&used).unwrap_or(0).saturating_add(more.saturating_mul(replicas));
                if amount(&hard).is_some_and(|hard| after > hard) {
                    return against(format!("{name} allows {key} of {hard} in all, and {used} are used"));
                }
            }
        }
        Ok(())
    }
}

fn amount(resource: &str, text: &str) -> Option<u64> {
    if resource == "cpu" {
        quantity::cpu_millis(text)
    } else {
        quantity::bytes(text)
    }
}
