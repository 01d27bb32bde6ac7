//! From evidence to one root cause: the case file, analyzers by failure domain, the object graph, and the cause that explains the
//! others. Pure. Called by the operator's loop, by the agents and by the plugin.

pub mod analyzers;
pub mod case_file;
mod cause;
pub mod confidence;
pub mod environment;
mod events;
pub mod facts;
pub mod finding;
pub mod graph;
pub mod guide;
mod items;
pub mod logs;
pub mod objects;
pub mod quantity;
pub mod questions;
pub mod recording;
pub mod records;
pub mod remedy;
pub mod similar;
pub mod standing;
pub mod trend;
pub mod workload;

use serde::{Deserialize, Serialize};

use analyzers::View;
pub use case_file::CaseFile;
use facts::Facts;
pub use finding::{Confidence, Depth, Finding, RootCause, Verdict};
use graph::{Graph, LogIndex};
pub use remedy::Remedy;

use crate::api::{ObjectName, Role};
use crate::sandbox::command::{Command, Resource};

/// What the evidence shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// In one word.
    pub verdict: Verdict,
    /// Everything that was found, most certain first.
    pub findings: Vec<Finding>,
    /// The cause, where one is shown.
    pub root_cause: Option<RootCause>,
    /// What was looked at, for people.
    pub checked: Vec<String>,
    /// What to look at or do next, with commands.
    pub next_steps: Vec<String>,
    /// What speaks against it, so that only a person may go on from here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<String>,
}

/// The case, as analyzers see it.
pub fn view(case: &CaseFile) -> View<'_> {
    let facts = Facts::new(case);
    let logs = LogIndex::new(&facts);
    let graph = Graph::new(&facts, &logs);
    View { facts, logs, graph }
}

/// What one specialist concludes from the case file, by its own analyzers.
pub fn findings_of(case: &CaseFile, role: Role) -> Vec<Finding> {
    let view = view(case);
    let starts = questions::starting_points(&view.facts);
    let all = analyzers::run_all(&view);
    let relevant = cause::search(&view, &starts, &all, 0).relevant;
    number(relevant.into_iter().filter(|finding| finding.agent == role).collect())
}

/// Reads the whole case file.
pub fn diagnose(case: &CaseFile) -> Diagnosis {
    let view = view(case);
    let starts = questions::starting_points(&view.facts);
    let open = questions::open(&view.facts, &view.graph, &view.logs);
    let all = analyzers::run_all(&view);
    let search = cause::search(&view, &starts, &all, open.len());
    let checked = checked(&view, &starts, &open);
    let mut findings = search.relevant;
    let root_cause = search.root.filter(|root| root.finding.confidence >= cause::LEAST);
    // Each finding is as sure as it is read, too.
    for finding in &mut findings {
        finding.confidence = match &root_cause {
            Some(root) if root.finding.summary == finding.summary && root.finding.object == finding.object => {
                root.finding.confidence
            }
            _ => confidence::weigh(finding.confidence, open.len(), 0),
        };
    }
    let findings = number(findings);
    let root_cause = root_cause.map(|mut root| {
        if let Some(same) = findings
            .iter()
            .find(|f| f.summary == root.finding.summary && f.object == root.finding.object)
        {
            root.finding.id.clone_from(&same.id);
        }
        root
    });
    let missing = missing_target(&view);
    let verdict = if root_cause.is_some() {
        Verdict::Found
    } else if findings.is_empty() && missing.is_none() && is_covered(&view, &open) {
        Verdict::Healthy
    } else {
        Verdict::Unexplained
    };
    let next_steps = match verdict {
        Verdict::Healthy => elsewhere(&view, &all),
        _ => next_steps(&view, &findings, &open, missing.as_ref(), root_cause.as_ref()),
    };
    Diagnosis {
        verdict,
        findings,
        root_cause,
        checked,
        next_steps,
        concerns: Vec::new(),
    }
}

/// Most certain first, with ids; a claim that two analyzers make is kept once.
fn number(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(cause::by_certainty);
    findings.dedup_by(|b, a| a.object == b.object && a.category == b.category && a.summary == b.summary);
    findings.truncate(32);
    for (index, finding) in findings.iter_mut().enumerate() {
        finding.id = format!("F{}", index + 1);
    }
    findings
}

/// What shows trouble that nothing else shows: pods that were refused are only in their owner's status, and an autoscaler that cannot
/// scale is silent while the load is low.
const NEEDED: [Resource; 4] = [
    Resource::Pods,
    Resource::Deployments,
    Resource::Events,
    Resource::HorizontalPodAutoscalers,
];

/// Without these lists, and the target's logs, nothing may be called healthy.
fn is_covered(view: &View<'_>, open: &[Command]) -> bool {
    NEEDED
        .iter()
        .all(|resource| view.facts.case.complete_list(*resource).is_some())
        && !open
            .iter()
            .any(|command| matches!(command, Command::Logs { previous: false, .. }))
        && !view.facts.workloads.is_empty()
}

fn missing_target(view: &View<'_>) -> Option<ObjectName> {
    let target = view.facts.case.target()?;
    let there = view.facts.case.entry(target).is_some() || view.facts.workload(target).is_some();
    (!there).then(|| target.clone())
}

fn checked(view: &View<'_>, starts: &[ObjectName], open: &[Command]) -> Vec<String> {
    let facts = &view.facts;
    let mut list = Vec::new();
    for workload in questions::targets(facts)
        .into_iter()
        .filter(|workload| starts.contains(&workload.name))
        .take(4)
    {
        let restarts: i32 = workload
            .pods
            .iter()
            .flat_map(|pod| pod.statuses().map(|(status, _)| status.restart_count))
            .fold(0, i32::saturating_add);
        list.push(format!(
            "{}: {} of {} pods ready, {restarts} restarts, {} revisions ({})",
            workload.name,
            workload.ready(),
            workload
                .desired
                .map_or_else(|| workload.pods.len().to_string(), |n| n.to_string()),
            workload.revisions.len(),
            workload.evidence
        ));
    }
    for log in facts.case.logs().iter().take(8) {
        let run = if log.previous { ", previous run" } else { "" };
        list.push(format!(
            "log of {}/{}{run}: {} lines ({})",
            log.pod.name,
            log.container,
            log.lines.len(),
            log.evidence
        ));
    }
    let warnings = facts.case.events().iter().filter(|event| event.warning).count();
    list.push(format!(
        "{} events, {warnings} of them warnings; {} Services; usage of {} containers",
        facts.case.events().len(),
        facts.services.len(),
        facts.case.usage().len()
    ));
    for gap in facts.case.gaps().iter().take(6) {
        list.push(format!(
            "{}: {} ({})",
            gap.evidence,
            gap.state,
            crate::text::clip(&gap.message, 160)
        ));
    }
    if !open.is_empty() {
        list.push(format!("{} questions stayed open", open.len()));
    }
    list
}

/// Trouble beside a healthy target: named, not acted on.
fn elsewhere(view: &View<'_>, all: &[Finding]) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    for finding in all.iter().filter(|finding| finding.depth != Depth::Symptom) {
        let text = format!(
            "not part of this incident: {}; open one for {} if it matters",
            crate::text::clip(&finding.summary, 300),
            finding.object
        );
        if !named.contains(&text) && view.facts.case.target() != Some(&finding.object) {
            named.push(text);
        }
    }
    named.truncate(3);
    named
}

fn next_steps(
    view: &View<'_>,
    findings: &[Finding],
    open: &[Command],
    missing: Option<&ObjectName>,
    root: Option<&RootCause>,
) -> Vec<String> {
    let namespace = view.facts.case.namespace();
    let mut steps = Vec::new();
    if let Some(target) = missing {
        steps.push(format!(
            "{target} does not exist in namespace {namespace}: kubectl -n {namespace} get all"
        ));
    }
    if let Some(root) = root {
        for way in root.finding.remedy.iter().flat_map(Remedy::ways) {
            if let Remedy::Manual { instruction } | Remedy::Manifest { instruction, .. } = way {
                steps.push(instruction.clone());
            }
        }
        for other in &root.also {
            steps.push(format!(
                "another cause, independent of the first: {}",
                crate::text::clip(&other.summary, 400)
            ));
        }
        return steps;
    }
    for command in open.iter().take(2) {
        steps.push(format!("read what could not be read: {}", show(command)));
    }
    let worst = findings.iter().find_map(|finding| view.facts.workload(&finding.object));
    if let Some(workload) = worst.or_else(|| questions::targets(&view.facts).into_iter().next()) {
        if let Some(pod) = workload
            .pods
            .iter()
            .find(|pod| !pod.is_ready())
            .or(workload.pods.first())
        {
            steps.push(format!(
                "what the kubelet says: kubectl -n {namespace} describe pod {}",
                pod.name.name
            ));
            steps.push(format!(
                "what the program says from its start: kubectl -n {namespace} logs {} --all-containers --timestamps",
                pod.name.name
            ));
            if let Some(node) = pod.pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
                steps.push(format!("the node that runs it: kubectl describe node {node}"));
            }
        }
        steps.push(format!(
            "what changed: kubectl -n {namespace} rollout history {}/{}",
            workload.name.kind.to_ascii_lowercase(),
            workload.name.name
        ));
    }
    steps.push(format!(
        "everything that happened lately: kubectl -n {namespace} get events --sort-by=.lastTimestamp"
    ));
    steps.truncate(3);
    steps
}

/// A command as a person would type it.
pub fn show(command: &Command) -> String {
    use crate::sandbox::command::Scope;
    let list = |resources: &[Resource]| resources.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    match command {
        Command::Get { resources, scope, name } => {
            let space = match scope {
                Scope::Namespace(namespace) => format!(" -n {namespace}"),
                Scope::Cluster => String::new(),
            };
            format!(
                "kubectl{space} get {} {}",
                list(resources),
                name.as_deref().unwrap_or_default()
            )
            .trim_end()
            .to_owned()
        }
        Command::Logs {
            namespace,
            pod,
            container,
            previous,
            ..
        } => {
            format!(
                "kubectl -n {namespace} logs {pod} -c {container}{}",
                if *previous { " --previous" } else { "" }
            )
        }
        Command::TopPods { namespace } => format!("kubectl -n {namespace} top pods --containers"),
        Command::TopNodes => "kubectl top nodes".to_owned(),
        Command::Metrics {
            metric,
            resource,
            namespace,
            name,
        } => format!("prometheus: {metric} of {resource}/{name} in {namespace} over an hour"),
        other => format!("{other:?}"),
    }
}
