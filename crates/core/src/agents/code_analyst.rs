//! The Code Analyst: logs and stack traces of the target's own containers, and differences of code and configuration between revisions.
//! Decides only what to ask; must never conclude without evidence. Called by `run`.

use crate::diagnosis::{self, CaseFile, analyzers, questions};
use crate::sandbox::command::{Command, Resource, Scope};

/// What it reads first, where nobody has yet: pods for their containers, revisions and ConfigMaps for what changed.
const OWN_KINDS: [Resource; 9] = [
    Resource::Pods,
    Resource::Deployments,
    Resource::ReplicaSets,
    Resource::StatefulSets,
    Resource::DaemonSets,
    Resource::Jobs,
    Resource::CronJobs,
    Resource::ControllerRevisions,
    Resource::ConfigMaps,
];

/// What it wants to read next: the pods, then the logs of the target's containers, present and previous runs, then the logs of what
/// those name as failing and nobody has read yet.
pub fn wants(case: &CaseFile) -> Vec<Command> {
    if case.complete_list(Resource::Pods).is_none() {
        return vec![Command::Get {
            resources: OWN_KINDS.to_vec(),
            scope: Scope::Namespace(case.namespace().to_owned()),
            name: None,
        }];
    }
    let view = diagnosis::view(case);
    let own = questions::target_logs(&view.facts);
    if own.iter().any(|command| !case.has_asked(command)) {
        return own;
    }
    questions::other_logs(&view.facts, &view.graph, &view.logs)
}

/// The target's last change, in one sentence.
pub fn last_change(case: &CaseFile) -> Option<String> {
    let view = diagnosis::view(case);
    let workload = questions::targets(&view.facts).into_iter().next()?;
    analyzers::last_change(workload)
}
