//! What a change was for, read from the object that had to follow it: a Service that sends to ready pods, an autoscaler that can scale, a
//! budget that lets a pod go. The field that was written proves only that it was written. Pure. Called by `verify`.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::action::Action;
use super::change::{Change, Section};
use super::objects;
use crate::api::ObjectName;
use crate::diagnosis::{CaseFile, quantity};

/// Whether what the action was for has come about, and what was seen of it. `None`: its field says it all, or its pods do.
pub fn effect(action: &Action, case: &CaseFile) -> Option<(bool, String)> {
    let target = action.target();
    let name = target.name.as_str();
    match action.change() {
        Change::PatchService { .. } => {
            let ready = case
                .all::<EndpointSlice>()
                .filter(|(_, slice, _)| {
                    let labels = slice.metadata.labels.as_ref();
                    labels
                        .and_then(|labels| labels.get("kubernetes.io/service-name"))
                        .map(String::as_str)
                        == Some(name)
                })
                .flat_map(|(_, slice, _)| &slice.endpoints)
                .filter(|endpoint| {
                    let conditions = endpoint.conditions.as_ref();
                    conditions.and_then(|conditions| conditions.ready) != Some(false)
                })
                .count();
            Some((ready > 0, format!("Service/{name} sends to {ready} ready endpoint(s)")))
        }
        Change::PatchHpa { .. } | Change::RetargetHpa { .. } => {
            let status = case.get::<HorizontalPodAutoscaler>(name)?.status.as_ref()?;
            let able = status
                .conditions
                .iter()
                .flatten()
                .find(|one| one.type_ == "AbleToScale")?;
            let said = able.message.as_deref().unwrap_or_default();
            Some((able.status == "True", format!("AbleToScale is {}: {said}", able.status)))
        }
        Change::PatchPdb { .. } => {
            let status = case.get::<PodDisruptionBudget>(name)?.status.as_ref()?;
            let allowed = status.disruptions_allowed;
            Some((allowed > 0, format!("{allowed} disruption(s) allowed")))
        }
        Change::PatchQuota { resource, .. } => {
            let quota = case.get::<ResourceQuota>(name)?;
            let said = |map: Option<
                &std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
            >| { map.and_then(|map| map.get(resource)).map(|text| text.0.clone()) };
            let wanted = said(quota.spec.as_ref().and_then(|spec| spec.hard.as_ref()));
            let counted = said(quota.status.as_ref().and_then(|status| status.hard.as_ref()));
            let shown = counted.as_deref().unwrap_or("nothing yet");
            Some((
                wanted.is_some() && wanted == counted,
                format!("{shown} is what counts for {resource}"),
            ))
        }
        Change::SetResources {
            section: Section::Limits,
            resource,
            to: Some(to),
            ..
        } if resource == "memory" => {
            let limit = quantity::bytes(to)?;
            let workload = ObjectName {
                kind: target.kind.clone(),
                namespace: target.namespace.clone(),
                name: target.name.clone(),
            };
            let container = action.to_planned("", &[], None).parameters.container?;
            let used = case
                .all::<k8s_openapi::api::core::v1::Pod>()
                .filter(|(_, pod, _)| objects::belongs(pod, &workload))
                .filter_map(|(pod, ..)| {
                    let of = |usage: &&crate::diagnosis::records::Usage| {
                        usage.pod == pod.name && usage.container == container
                    };
                    case.usage().iter().find(of).map(|usage| usage.memory_bytes)
                })
                .max()?;
            // What stands at nine tenths of a new limit at once will be killed again.
            let room = used.saturating_mul(10) < limit.saturating_mul(9);
            Some((room, format!("{} of {to} in use", quantity::show_bytes(used))))
        }
        _ => None,
    }
}
