//! Autoscalers of requests (VerticalPodAutoscaler): in each other's way with an autoscaler of replicas, recommending what no node has,
//! capped below what is needed, or evicting the only replica again and again.
//!
//! Evidence: the VPA as it is read (an add-on's kind: tolerantly, and nothing is said where it does not exist), the pods whose requests it
//! wrote, events of its evictions, the HPA's metrics. Looks alike: a VPA that only recommends (updateMode Off or Initial), an HPA on
//! another metric, requests that a person made too large, a leak that no cap would satisfy.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::SignedDuration;
use serde_json::Value;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::case_file::EventRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload, annotation};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::quantity;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "VpaAndHpaConflict",
        "A VPA changes the requests from which an HPA of the same workload computes its utilization, so that each undoes the other's work.",
        "Both objects, and what it does: evictions by the VPA, or replicas that go up and down.",
        "An HPA on another resource, an absolute value or a custom metric; a VPA that only recommends.",
    ),
    known(
        "VpaRecommendsTooMuch",
        "A VPA has raised the requests beyond what any node has, so its pods find no place.",
        "The pending pod with the requests that the VPA wrote, allocatable of all nodes, the template's own requests, which would fit.",
        "Requests that the template itself makes; nodes that are full and would have room.",
    ),
    known(
        "VpaCapTooLow",
        "A VPA's maxAllowed keeps a container below the memory that it needs.",
        "The recommendation without the cap beside the cap, and the kill for memory.",
        "A VPA that leaves limits alone (RequestsOnly); a cap that is not reached.",
    ),
    known(
        "VpaEvictsOnlyReplica",
        "A VPA evicts a workload's only replica again and again to write new requests, and each time nothing serves.",
        "Evictions by the VPA within an hour, one replica.",
        "One eviction; several replicas, of which one goes at a time.",
    ),
];

/// What a VPA recommends.
const RESOURCES: [&str; 2] = ["memory", "cpu"];
/// An eviction tells for so long.
const LATELY: SignedDuration = SignedDuration::from_hours(1);

/// A VPA, as far as it is understood.
struct Vertical<'v> {
    name: &'v ObjectName,
    evidence: &'v str,
    value: Value,
    target: ObjectName,
}

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let all = all(view);
    if all.is_empty() {
        return Vec::new();
    }
    let around = Around::new(view);
    let mut found = Vec::new();
    for vertical in &all {
        let workload = view.facts.workload(&vertical.target);
        let Some(workload) = workload.filter(|workload| workload.name == vertical.target) else {
            continue;
        };
        found.extend(too_much(view, &around, vertical, workload));
        found.extend(capped(view, vertical, workload));
        if vertical.evicts() {
            let evictions = evictions(&around, vertical, workload);
            found.extend(conflict(view, &around, vertical, workload, &evictions));
            found.extend(only_replica(vertical, workload, &evictions));
        }
    }
    found
}

/// What is looked at for each of them, gathered once.
struct Around<'v> {
    /// Evictions of the last hour by any VPA.
    evictions: Vec<&'v EventRecord>,
    /// Autoscalers of replicas, by what they scale.
    hpas: BTreeMap<ObjectName, (&'v ObjectName, &'v HorizontalPodAutoscaler, &'v str)>,
    /// Memory and CPU of the largest node.
    largest: BTreeMap<&'static str, u64>,
}

impl<'v> Around<'v> {
    fn new(view: &'v View<'_>) -> Self {
        let case = view.facts.case;
        let now = case.now();
        let lately = |event: &&EventRecord| {
            matches!(event.reason.as_str(), "EvictedByVPA" | "EvictedPod")
                && event.last.is_some_and(|at| now.duration_since(at) <= LATELY)
        };
        let hpas = case
            .all::<HorizontalPodAutoscaler>()
            .filter_map(|(name, hpa, evidence)| {
                let scaled = &hpa.spec.as_ref()?.scale_target_ref;
                let target = ObjectName {
                    kind: scaled.kind.clone(),
                    namespace: name.namespace.clone(),
                    name: scaled.name.clone(),
                };
                Some((target, (name, hpa, evidence)))
            });
        let largest = RESOURCES.into_iter().filter_map(|resource| {
            let nodes = case.all::<Node>();
            let of = nodes.filter_map(|(_, node, _)| {
                amount(resource, &node.status.as_ref()?.allocatable.as_ref()?.get(resource)?.0)
            });
            Some((resource, of.max()?))
        });
        Self {
            evictions: case.events().iter().filter(lately).collect(),
            hpas: hpas.collect(),
            largest: largest.collect(),
        }
    }
}

fn all<'v>(view: &'v View<'_>) -> Vec<Vertical<'v>> {
    let entries = view.facts.case.of_kind("VerticalPodAutoscaler");
    entries
        .filter_map(|(name, entry)| {
            let value = entry.object.to_value();
            let target = value.pointer("/spec/targetRef")?;
            let word = |key: &str| target.get(key).and_then(Value::as_str);
            let target = ObjectName::namespaced(word("kind")?, name.namespace.clone()?, word("name")?);
            Some(Vertical {
                name,
                evidence: &entry.evidence,
                target,
                value,
            })
        })
        .collect()
}

impl Vertical<'_> {
    fn mode(&self) -> &str {
        self.value
            .pointer("/spec/updatePolicy/updateMode")
            .and_then(Value::as_str)
            .unwrap_or("Auto")
    }

    /// Whether it makes pods anew to change their requests.
    fn evicts(&self) -> bool {
        matches!(self.mode(), "Auto" | "Recreate" | "InPlaceOrRecreate")
    }

    /// What it says of a container by name, or of all.
    fn policy(&self, container: &str) -> Option<&Value> {
        let policies = self
            .value
            .pointer("/spec/resourcePolicy/containerPolicies")?
            .as_array()?;
        let of = |name: &str| {
            policies
                .iter()
                .find(|policy| policy.get("containerName").and_then(Value::as_str) == Some(name))
        };
        of(container).or_else(|| of("*"))
    }

    fn is_off_for(&self, container: &str) -> bool {
        self.policy(container).and_then(|policy| policy.get("mode")?.as_str()) == Some("Off")
    }

    /// Whether it sets that resource of that container.
    fn controls(&self, container: &str, resource: &str) -> bool {
        let listed = self
            .policy(container)
            .and_then(|policy| policy.get("controlledResources")?.as_array());
        !self.is_off_for(container)
            && listed.is_none_or(|list| list.iter().filter_map(Value::as_str).any(|one| one == resource))
    }

    /// Whether it moves limits with requests.
    fn moves_limits(&self, container: &str) -> bool {
        let controlled = self
            .policy(container)
            .and_then(|policy| policy.get("controlledValues")?.as_str());
        controlled != Some("RequestsOnly")
    }

    fn recommends(&self, container: &str, which: &str, resource: &str) -> Option<&str> {
        let all = self
            .value
            .pointer("/status/recommendation/containerRecommendations")?
            .as_array()?;
        let own = all
            .iter()
            .find(|one| one.get("containerName").and_then(Value::as_str) == Some(container))?;
        own.get(which)?.get(resource)?.as_str()
    }
}

/// Evictions by this VPA of this workload's pods, those that are gone too.
fn evictions<'v>(around: &Around<'v>, vertical: &Vertical<'_>, workload: &Workload<'_>) -> Vec<&'v EventRecord> {
    let own = |pod: &str| {
        let (base, _) = pod.rsplit_once('-').unwrap_or((pod, ""));
        base == workload.name.name || workload.revisions.iter().any(|revision| revision.name.name == base)
    };
    let is_own = |event: &&&EventRecord| match event.reason.as_str() {
        "EvictedByVPA" => event.object.kind == "Pod" && own(&event.object.name),
        _ => event.object == *vertical.name,
    };
    around.evictions.iter().filter(is_own).copied().collect()
}

fn count(events: &[&EventRecord]) -> i32 {
    let of = |reason: &str| {
        let own = events.iter().filter(|event| event.reason == reason);
        own.map(|event| event.count.max(1)).fold(0, i32::saturating_add)
    };
    // The pod's event and the VPA's tell of the same.
    of("EvictedByVPA").max(of("EvictedPod"))
}

fn conflict(
    view: &View<'_>,
    around: &Around<'_>,
    vertical: &Vertical<'_>,
    workload: &Workload<'_>,
    evictions: &[&EventRecord],
) -> Option<Finding> {
    let (hpa, object, evidence) = around.hpas.get(&workload.name).copied()?;
    let spec = object.spec.as_ref()?;
    let by_utilization = spec.metrics.iter().flatten().find_map(|metric| {
        let (resource, of, target) = match (&metric.resource, &metric.container_resource) {
            (Some(resource), _) => (&resource.name, None, &resource.target),
            (_, Some(resource)) => (&resource.name, Some(resource.container.as_str()), &resource.target),
            _ => return None,
        };
        target.average_utilization?;
        let mut containers = workload
            .containers()
            .iter()
            .filter(|one| of.is_none_or(|name| one.name == name));
        containers
            .any(|container| vertical.controls(&container.name, resource))
            .then_some(resource.as_str())
    })?;
    let evicted = count(evictions);
    let (up_down, swings) = swings(view, hpa);
    if evicted == 0 && !up_down {
        return None;
    }
    let does = if evicted > 0 {
        format!("the VPA has evicted its pods {evicted} times within an hour")
    } else {
        "its replicas go up and down".to_owned()
    };
    Some(
        claim(
            "VpaAndHpaConflict",
            vertical.name,
            Depth::Fault,
            Basis::Stated,
            u8::from(evicted > 0) + u8::from(up_down),
        )
        .says(format!(
            "{} ({}) changes the {by_utilization} requests of {} from which {hpa} computes its utilization: each undoes the other's work; {does}",
            vertical.name,
            vertical.mode(),
            workload.name
        ))
        .cites([vertical.evidence, evidence, workload.evidence])
        .cites(evictions.iter().chain(&swings).map(|event| event.evidence.as_str()))
        .affects([workload.name.clone(), hpa.clone()])
        .manual(format!(
            "take {by_utilization} out of {}'s controlledResources, or set its updateMode to Off and keep its recommendation; or scale {} on another metric",
            vertical.name, hpa
        ))
        .done(),
    )
}

/// Whether an HPA has lately scaled its workload both up and down, three times at least.
fn swings<'v>(view: &'v View<'_>, hpa: &ObjectName) -> (bool, Vec<&'v EventRecord>) {
    let now = view.facts.case.now();
    let mut events: Vec<&EventRecord> = view
        .facts
        .events(hpa)
        .iter()
        .copied()
        .filter(|event| {
            event.reason == "SuccessfulRescale" && event.last.is_some_and(|at| now.duration_since(at) <= LATELY)
        })
        .collect();
    events.sort_by_key(|event| event.last);
    let size = |event: &EventRecord| -> Option<i64> {
        let (_, rest) = event.message.split_once("New size: ")?;
        rest.split(';').next()?.trim().parse().ok()
    };
    let sizes: Vec<i64> = events.iter().filter_map(|event| size(event)).collect();
    let steps = || sizes.windows(2).filter_map(|pair| Some(pair.get(1)? - pair.first()?));
    let up_down = sizes.len() >= 3 && steps().any(|step| step > 0) && steps().any(|step| step < 0);
    (up_down, if up_down { events } else { Vec::new() })
}

fn only_replica(vertical: &Vertical<'_>, workload: &Workload<'_>, evictions: &[&EventRecord]) -> Option<Finding> {
    let evicted = count(evictions);
    if workload.desired != Some(1) || evicted < 3 {
        return None;
    }
    Some(
        claim("VpaEvictsOnlyReplica", vertical.name, Depth::Fault, Basis::Stated, 1)
            .says(format!(
                "{} ({}) evicts the only replica of {} to write new requests, {evicted} times within an hour: each time nothing serves",
                vertical.name,
                vertical.mode(),
                workload.name
            ))
            .cites([vertical.evidence, workload.evidence])
            .cites(evictions.iter().map(|event| event.evidence.as_str()))
            .affects([workload.name.clone()])
            .manual(format!(
                "set the updateMode of {} to Initial (requests are written when a pod starts anyway), or run two replicas with a PodDisruptionBudget",
                vertical.name
            ))
            .done(),
    )
}

fn requested<'p>(pod: &'p Pod, container: &str, resource: &str) -> Option<&'p Quantity> {
    let spec = pod.spec.as_ref()?;
    let own = spec.containers.iter().find(|one| one.name == container)?;
    own.resources.as_ref()?.requests.as_ref()?.get(resource)
}

fn amount(resource: &str, text: &str) -> Option<u64> {
    if resource == "cpu" {
        quantity::cpu_millis(text)
    } else {
        quantity::bytes(text)
    }
}

/// What all containers of a pod request of a resource, with `of` for each container's own.
fn sum<'q>(resource: &str, quantities: impl Iterator<Item = Option<&'q Quantity>>) -> Option<u64> {
    quantities
        .flatten()
        .map(|quantity| amount(resource, &quantity.0))
        .try_fold(0_u64, |sum, one| sum.checked_add(one?))
}

fn too_much(view: &View<'_>, around: &Around<'_>, vertical: &Vertical<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let written = |pod: &&PodFacts<'_>| annotation(&pod.pod.metadata, "vpaUpdates").is_some();
    let waits = |pod: &&PodFacts<'_>| {
        pod.phase() == "Pending"
            && !pod.is_going()
            && pod
                .condition("PodScheduled")
                .is_some_and(|(status, _)| status == "False")
    };
    let pod = workload.pods.iter().filter(written).find(waits)?;
    let names: Vec<&str> = workload
        .containers()
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    // Only beside a complete list of nodes can anything be said of all of them.
    let listed = view
        .facts
        .case
        .complete_list(crate::sandbox::command::Resource::Nodes)?;
    for resource in RESOURCES {
        if !names.iter().any(|name| vertical.controls(name, resource)) {
            continue;
        }
        let asked = sum(resource, names.iter().map(|name| requested(pod.pod, name, resource)))?;
        let template = sum(
            resource,
            workload
                .containers()
                .iter()
                .map(|container| container.resources.as_ref()?.requests.as_ref()?.get(resource)),
        )?;
        let largest = *around.largest.get(resource)?;
        if asked <= largest || template > largest {
            continue;
        }
        let show = |value: u64| match resource {
            "cpu" => format!("{value}m"),
            _ => quantity::show_bytes(value),
        };
        let capped = names.iter().any(|name| {
            vertical
                .policy(name)
                .and_then(|policy| policy.get("maxAllowed")?.get(resource)?.as_str())
                .is_some()
        });
        let cap = if capped {
            "lower the maxAllowed"
        } else {
            "set a maxAllowed"
        };
        return Some(
            claim("VpaRecommendsTooMuch", vertical.name, Depth::Fault, Basis::Stated, 3)
                .says(format!(
                    "{} has raised the {resource} requests of {} to {}, and no node has more than {}: its pods find no place (the template itself requests {})",
                    vertical.name,
                    workload.name,
                    show(asked),
                    show(largest),
                    show(template)
                ))
                .cites([vertical.evidence, pod.evidence, workload.evidence, listed])
                .since(pod.created())
                .affects([workload.name.clone()])
                .manual(format!(
                    "{cap} for {resource} in {} below what a node has left, and delete the pending pods so that they are made anew; or add larger nodes",
                    vertical.name
                ))
                .done(),
        );
    }
    None
}

fn capped(view: &View<'_>, vertical: &Vertical<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let (pod, status, end) = super::memory::kill(view, workload)?;
    let container = status.name.as_str();
    if vertical.mode() == "Off" || !vertical.controls(container, "memory") || !vertical.moves_limits(container) {
        return None;
    }
    // Who has no limit was killed by its node.
    super::memory::limit_of(workload.container(container)?, "memory")?;
    let cap = vertical.policy(container)?.get("maxAllowed")?.get("memory")?.as_str()?;
    let needs = vertical.recommends(container, "uncappedTarget", "memory")?;
    let reached = vertical.recommends(container, "target", "memory")?;
    let (most, wanted, given) = (
        quantity::bytes(cap)?,
        quantity::bytes(needs)?,
        quantity::bytes(reached)?,
    );
    if wanted <= most || given < most {
        return None;
    }
    annotation(&pod.pod.metadata, "vpaUpdates")?;
    Some(
        claim("VpaCapTooLow", vertical.name, Depth::Fault, Basis::Stated, 3)
            .says(format!(
                "{} keeps container {container} of {} at {cap} of memory (maxAllowed), where it would give {}; the container is OOMKilled",
                vertical.name,
                workload.name,
                quantity::show_bytes(wanted)
            ))
            .cites([vertical.evidence, pod.evidence, workload.evidence])
            .since(end.finished_at.as_ref().map(|time| time.0))
            .affects([workload.name.clone()])
            .manual(format!(
                "raise maxAllowed.memory of {} to {} or more, if the workload may have it; a limit in the template would be written over",
                vertical.name,
                quantity::show_bytes(wanted)
            ))
            .long_term("memory that climbs until each kill is a leak, and no cap is high enough for one")
            .done(),
    )
}
