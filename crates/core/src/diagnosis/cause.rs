//! The root cause: the finding that explains the others and is explained by none.
//!
//! The search starts at the incident's target and follows what its findings point to, what affects it, and what it depends on. Faults
//! come before mechanisms, mechanisms before symptoms; among faults the one that the chain of findings leads to comes first, then the
//! more certain, then the earlier. Must never return a cause without evidence. Called by `diagnose`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use k8s_openapi::jiff::SignedDuration;

use super::analyzers::View;
use super::analyzers::changes::{ago, last_change_of};
use super::confidence;
use super::finding::{Confidence, Depth, Finding, RootCause};
use crate::api::ObjectName;
use crate::text::clip;

/// Clocks of the API server and of nodes disagree by so much.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// How an object was reached from the target.
#[derive(Clone, Debug)]
struct Reached {
    /// The object before, and the words that lead on from it.
    from: Option<(ObjectName, String)>,
    /// Steps that only a dependency shows, without a finding that says so.
    weak: usize,
    /// Steps in all.
    steps: usize,
}

/// Everything that the search found out.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The cause, where there is one.
    pub root: Option<RootCause>,
    /// Findings that have to do with the target, most certain first.
    pub relevant: Vec<Finding>,
}

/// Generic or secondary categories: what may well be the effect of something else that was found.
fn is_secondary(category: &str) -> bool {
    matches!(
        category,
        "UncaughtError"
            | "EndsWithError"
            | "RepeatedErrors"
            | "FellSilent"
            | "ThreadEnded"
            | "ProbeNeverSucceeds"
            | "ProbeTooStrict"
            | "ConnectionPoolExhausted"
            | "JobDeadlineExceeded"
            | "Evicted"
            | "HpaWithoutMetrics"
    )
}

/// Mechanisms that say nothing without what is behind them.
fn is_hollow(category: &str) -> bool {
    matches!(
        category,
        "ServiceWithoutEndpoints" | "ChangedByRollout" | "ConfigMapChanged" | "SuspectCode"
    )
}

/// Searches from `starts`; `open` is the number of questions that stayed open.
pub(super) fn search(view: &View<'_>, starts: &[ObjectName], findings: &[Finding], open: usize) -> Search {
    let by_object = group(findings);
    let affected = affected(findings);
    let reached = reach(view, starts, &by_object, &affected);
    let symptomatic = starts
        .iter()
        .any(|start| by_object.get(start).is_some_and(|list| !list.is_empty()));

    let mut relevant: Vec<(&Finding, &Reached)> = findings
        .iter()
        .filter_map(|finding| Some((finding, reached.get(&finding.object)?)))
        // What only a dependency reaches counts when something is wrong at the start.
        .filter(|(_, way)| way.weak == 0 || symptomatic)
        .collect();
    relevant.sort_by_key(|(finding, way)| (way.steps, Reverse(finding.depth), Reverse(finding.confidence)));

    let deeper_fault = |finding: &Finding, way: &Reached| {
        relevant.iter().any(|(other, its)| {
            other.depth == Depth::Fault
                && !is_secondary(&other.category)
                && other.object != finding.object
                && its.weak <= way.weak
                && its.steps > way.steps
                && leads_to(&reached, &other.object, &finding.object)
        })
    };
    let specific_here = |finding: &Finding| {
        relevant.iter().any(|(other, _)| {
            other.depth == Depth::Fault
                && !is_secondary(&other.category)
                && (other.object == finding.object || other.affects.contains(&finding.object))
        })
    };
    let mut candidates: Vec<(&Finding, &Reached)> = relevant
        .iter()
        .copied()
        .filter(|(finding, way)| match finding.depth {
            Depth::Symptom => false,
            Depth::Mechanism => {
                !is_hollow(&finding.category) && !explained(finding, &relevant, &reached) && !specific_here(finding)
            }
            Depth::Fault => {
                // A probe that a hanging program does not answer is not too strict.
                let hangs = finding.category.starts_with("Probe")
                    && relevant
                        .iter()
                        .any(|(other, _)| other.category == "FellSilent" && other.object == finding.object);
                !is_secondary(&finding.category) || !(deeper_fault(finding, way) || specific_here(finding) || hangs)
            }
        })
        .collect();
    candidates.sort_by_key(|(finding, way)| {
        (
            Reverse(finding.depth),
            way.weak,
            is_secondary(&finding.category),
            Reverse(finding.confidence.as_hundredths() / 10),
            finding.since.is_none(),
            finding.since,
            Reverse(way.steps),
            Reverse(finding.confidence),
        )
    });
    let mut search = Search {
        root: None,
        relevant: relevant.iter().map(|(finding, _)| (*finding).clone()).collect(),
    };
    let Some(((best, way), rest)) = candidates.split_first() else {
        return search;
    };
    let rivals: Vec<&Finding> = rest
        .iter()
        .filter(|(finding, its)| {
            its.weak <= way.weak && finding.depth == best.depth && finding.confidence >= best.confidence.less(20)
        })
        .map(|(finding, _)| *finding)
        .collect();
    let mut cause = (*best).clone();
    cause.confidence = confidence::weigh(
        best.confidence
            .less(u8::try_from(way.weak.min(3)).unwrap_or(3) * 10 + if best.depth == Depth::Fault { 0 } else { 10 }),
        open,
        rivals.len(),
    );
    let also = rivals
        .iter()
        .filter(|rival| rival.object != best.object || rival.category != best.category)
        .map(|rival| (*rival).clone())
        .take(3)
        .collect();
    search.root = Some(RootCause {
        chain: chain(view, &reached, &by_object, best),
        alternatives: alternatives(view, best, rest),
        finding: cause,
        also,
    });
    search
}

fn group(findings: &[Finding]) -> BTreeMap<&ObjectName, Vec<&Finding>> {
    let mut map: BTreeMap<&ObjectName, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        map.entry(&finding.object).or_default().push(finding);
    }
    map
}

fn affected(findings: &[Finding]) -> BTreeMap<&ObjectName, Vec<&ObjectName>> {
    let mut map: BTreeMap<&ObjectName, Vec<&ObjectName>> = BTreeMap::new();
    for finding in findings {
        for object in &finding.affects {
            map.entry(object).or_default().push(&finding.object);
        }
    }
    map
}

/// Breadth first, strong steps before weak ones; each object once, so that cycles end.
fn reach(
    view: &View<'_>,
    starts: &[ObjectName],
    by_object: &BTreeMap<&ObjectName, Vec<&Finding>>,
    affected: &BTreeMap<&ObjectName, Vec<&ObjectName>>,
) -> BTreeMap<ObjectName, Reached> {
    let mut reached: BTreeMap<ObjectName, Reached> = BTreeMap::new();
    let mut queue: VecDeque<ObjectName> = VecDeque::new();
    for start in starts {
        reached.insert(
            start.clone(),
            Reached {
                from: None,
                weak: 0,
                steps: 0,
            },
        );
        queue.push_back(start.clone());
    }
    while let Some(here) = queue.pop_front() {
        let Some(way) = reached.get(&here).cloned() else {
            continue;
        };
        let own = by_object.get(&here).map_or(&[][..], Vec::as_slice);
        let mut next: Vec<(ObjectName, usize, String)> = Vec::new();
        for finding in own.iter().filter(|finding| finding.depth < Depth::Fault) {
            for to in &finding.points_to {
                next.push((to.clone(), 0, with_evidence(finding)));
            }
        }
        for object in affected.get(&here).into_iter().flatten() {
            next.push((
                (*object).clone(),
                0,
                own.first()
                    .map_or_else(|| format!("{here} is affected"), |finding| with_evidence(finding)),
            ));
        }
        for edge in view.graph.edges(&here) {
            // Who calls a Service is served by what it selects: no guess lies in that step.
            let weak = usize::from(edge.verb != "selects");
            next.push((
                edge.to.clone(),
                weak,
                format!("{here} {} {} ({})", edge.verb, edge.to, edge.evidence),
            ));
        }
        for (to, weak, words) in next {
            let total = way.weak + weak;
            let better = reached
                .get(&to)
                .is_none_or(|known| known.from.is_some() && (total, way.steps + 1) < (known.weak, known.steps));
            if better {
                let entry = Reached {
                    from: Some((here.clone(), words)),
                    weak: total,
                    steps: way.steps + 1,
                };
                reached.insert(to.clone(), entry);
                if weak == 0 {
                    queue.push_front(to);
                } else {
                    queue.push_back(to);
                }
            }
        }
    }
    reached
}

/// Whether the way to `far` leads over `near`.
fn leads_to(reached: &BTreeMap<ObjectName, Reached>, far: &ObjectName, near: &ObjectName) -> bool {
    let mut at = far;
    for _ in 0..reached.len() {
        match reached.get(at).and_then(|way| way.from.as_ref()) {
            Some((before, _)) if before == near => return true,
            Some((before, _)) => at = before,
            None => return false,
        }
    }
    false
}

/// A mechanism is explained when something deeper lies where it points to.
fn explained(finding: &Finding, relevant: &[(&Finding, &Reached)], reached: &BTreeMap<ObjectName, Reached>) -> bool {
    finding.points_to.iter().any(|to| {
        relevant.iter().any(|(other, _)| {
            other.depth >= Depth::Mechanism
                && !is_hollow(&other.category)
                && (other.object == *to || leads_to(reached, &other.object, to))
        })
    })
}

fn with_evidence(finding: &Finding) -> String {
    clip(&format!("{} ({})", finding.summary, finding.evidence.join(", ")), 700)
}

/// From the symptom to the cause, one step each.
fn chain(
    view: &View<'_>,
    reached: &BTreeMap<ObjectName, Reached>,
    by_object: &BTreeMap<&ObjectName, Vec<&Finding>>,
    cause: &Finding,
) -> Vec<String> {
    let mut steps = vec![match begun_by(view, cause) {
        Some(change) => format!("{} ← {change}", with_evidence(cause)),
        None => with_evidence(cause),
    }];
    let mut at = cause.object.clone();
    let own = by_object.get(&at).into_iter().flatten();
    // What changed comes last: the cause came with it.
    let changes = own
        .filter(|finding| {
            matches!(
                finding.category.as_str(),
                "ChangedByRollout" | "ConfigMapChanged" | "SuspectCode"
            )
        })
        .map(|finding| with_evidence(finding));
    steps.splice(0..0, changes);

    for _ in 0..reached.len().min(12) {
        let Some((before, words)) = reached.get(&at).and_then(|way| way.from.clone()) else {
            break;
        };
        if !steps.contains(&words) {
            steps.push(words);
        }
        at = before;
    }
    let symptom = by_object
        .get(&at)
        .into_iter()
        .flatten()
        .filter(|finding| finding.depth == Depth::Symptom)
        .max_by_key(|finding| (finding.category == "NotReady", finding.confidence));
    if let Some(symptom) = symptom {
        let words = with_evidence(symptom);
        if !steps.contains(&words) {
            steps.push(words);
        }
    }
    steps.reverse();
    if steps.len() > 8 {
        // Both ends matter most.
        steps.drain(4..steps.len() - 4);
    }
    steps
}

/// The change of the faulty object that began it: who made it, and when. A change after the trouble began it not.
fn begun_by(view: &View<'_>, cause: &Finding) -> Option<String> {
    let change = last_change_of(view.facts.case, &cause.object)?;
    let after = cause
        .since
        .is_some_and(|since| change.at > since.saturating_add(SLACK).unwrap_or(since));
    if after || cause.summary.contains(&change.manager) {
        return None;
    }
    let what = if change.creation { "made so" } else { "changed" };
    Some(format!(
        "{what} {} by {}",
        ago(view.facts.case.now(), change.at),
        change.manager
    ))
}

/// What would tell a cause from another: what to look at, as a person would.
fn tell_apart(view: &View<'_>, finding: &Finding) -> String {
    let namespace = view.facts.case.namespace();
    let object = &finding.object;
    let workload = format!("{}/{}", object.kind.to_ascii_lowercase(), object.name);
    match finding.category.as_str() {
        "OutOfMemory" | "OutOfMemoryInProcess" | "CpuThrottled" | "NoisyNeighbour" => {
            format!("kubectl -n {namespace} top pods --containers, twice, tells whether usage grows")
        }
        "DependencyFails"
        | "DependencyUnreachable"
        | "CredentialsRefused"
        | "WrongPort"
        | "NetworkPolicyBlocks"
        | "ExternalDependencyFails"
        | "ServiceWrongPort"
        | "ServiceSelectsNothing" => {
            format!("a call by hand from kubectl -n {namespace} exec {workload} -- sh tells")
        }
        "UncaughtError" | "RepeatedErrors" | "ConnectionPoolExhausted" | "PoisonMessage" => {
            format!("kubectl -n {namespace} logs {workload} --since=10m tells whether it goes on")
        }
        "BadConfigChange" | "StaleConfiguration" | "ScaledToZero" => {
            format!("kubectl -n {namespace} get {workload} -o yaml --show-managed-fields tells who changed what")
        }
        _ if object.kind == "Node" => format!("kubectl describe node {} tells", object.name),
        _ => format!("kubectl -n {namespace} describe {workload} tells"),
    }
}

fn alternatives(view: &View<'_>, best: &Finding, rest: &[(&Finding, &Reached)]) -> Vec<String> {
    rest.iter()
        .filter(|(finding, _)| finding.summary != best.summary)
        .take(4)
        .map(|(finding, way)| {
            let against = if way.weak > 0 {
                "nothing that was read shows that the target suffers from it"
            } else if finding.confidence < best.confidence {
                "less evidence supports it"
            } else if finding.since > best.since && best.since.is_some() {
                "it began later"
            } else {
                "it does not explain as much"
            };
            clip(
                &format!(
                    "{} ({}): {against}; {}",
                    clip(&finding.summary, 600),
                    finding.evidence.join(", "),
                    tell_apart(view, finding)
                ),
                900,
            )
        })
        .collect()
}

/// For the order of findings.
pub(super) fn by_certainty(a: &Finding, b: &Finding) -> std::cmp::Ordering {
    let key = |finding: &Finding| (Reverse(finding.depth), Reverse(finding.confidence));
    key(a)
        .cmp(&key(b))
        .then_with(|| a.object.cmp(&b.object))
        .then_with(|| a.category.cmp(&b.category))
}

/// A cause below this is not put forward.
pub(super) const LEAST: Confidence = Confidence::hundredths(30);
