//! One analyzer for each failure domain: a pure function from the view of a case to claims. Each file says which failures it explains,
//! from which evidence, and what looks alike. Must never claim without evidence. Called by `diagnose`.

mod autoscaling;
mod cascade;
mod certificates;
pub(super) mod changes;
mod code;
mod cpu;
mod crash;
mod dependencies;
mod evictions;
mod forms;
mod hangs;
mod images;
mod ingresses;
mod jobs;
mod links;
mod memory;
mod migrations;
mod names;
mod neighbours;
mod network;
mod nodes;
mod novelty;
mod pods;
mod policy;
mod probes;
mod rbac;
mod references;
mod retries;
mod rollout;
mod scheduling;
mod services;
mod settings;
mod shutdown;
mod signatures;
mod start;
mod stopped;
mod storage;
mod surroundings;
mod unplaced;
mod values;
mod vertical;
mod volumes;
mod waits;

use k8s_openapi::jiff::Timestamp;
pub(super) use migrations::changes_schema;

use super::confidence::{self, Basis};
use super::facts::Facts;
use super::finding::{Depth, Finding};
use super::graph::{Graph, LogIndex};
use super::remedy::Remedy;
use crate::api::{ObjectName, Role};

/// The case, as analyzers see it.
#[derive(Debug)]
pub struct View<'a> {
    /// Workloads, pods, revisions, Services.
    pub facts: Facts<'a>,
    /// What the logs say.
    pub logs: LogIndex,
    /// What depends on what.
    pub graph: Graph,
}

/// One cause that an analyzer can name, as the documentation lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownCause {
    /// As in a finding.
    pub category: &'static str,
    /// Which failure it explains.
    pub explains: &'static str,
    /// What shows it.
    pub evidence: &'static str,
    /// What looks the same and is something else.
    pub look_alikes: &'static str,
}

/// One row of an analyzer's table.
pub(crate) const fn known(
    category: &'static str,
    explains: &'static str,
    evidence: &'static str,
    look_alikes: &'static str,
) -> KnownCause {
    KnownCause {
        category,
        explains,
        evidence,
        look_alikes,
    }
}

/// One analyzer, as the documentation lists it.
#[derive(Clone, Copy, Debug)]
pub struct Analyzer {
    /// Its domain.
    pub name: &'static str,
    /// Whose work it is.
    pub role: Role,
    /// Which failures it explains, from what.
    pub explains: &'static str,
    /// Every category that it can claim.
    pub causes: &'static [KnownCause],
    /// The analyzer.
    pub run: fn(&View<'_>) -> Vec<Finding>,
}

/// Every analyzer.
pub const ALL: &[Analyzer] = &[
    Analyzer {
        name: "pods",
        role: Role::SreInvestigator,
        explains: "pods that are not ready, restart, are held by a readiness gate or do not go away",
        causes: pods::CAUSES,
        run: pods::analyze,
    },
    Analyzer {
        name: "start",
        role: Role::SreInvestigator,
        explains: "containers that the runtime cannot start: command not in the image, not executable, wrong platform, root refused",
        causes: start::CAUSES,
        run: start::analyze,
    },
    Analyzer {
        name: "images",
        role: Role::SreInvestigator,
        explains: "images that cannot be pulled: name, tag, registry, credentials, limits",
        causes: images::CAUSES,
        run: images::analyze,
    },
    Analyzer {
        name: "references",
        role: Role::SreInvestigator,
        explains: "ConfigMaps, Secrets, keys and claims that a pod names and that are not there",
        causes: references::CAUSES,
        run: references::analyze,
    },
    Analyzer {
        name: "probes",
        role: Role::SreInvestigator,
        explains: "probes that ask the wrong port or path, or can never succeed; restarts by a liveness probe",
        causes: probes::CAUSES,
        run: probes::analyze,
    },
    Analyzer {
        name: "scheduling",
        role: Role::SreInvestigator,
        explains: "pods that fit no node: requests, selectors, affinity, taints, spread, cordons",
        causes: scheduling::CAUSES,
        run: scheduling::analyze,
    },
    Analyzer {
        name: "unplaced",
        role: Role::SreInvestigator,
        explains: "pods that no scheduler takes up, that a kubelet refuses, or that had to make room",
        causes: unplaced::CAUSES,
        run: unplaced::analyze,
    },
    Analyzer {
        name: "evictions",
        role: Role::SreInvestigator,
        explains: "pods that the kubelet took off their node",
        causes: evictions::CAUSES,
        run: evictions::analyze,
    },
    Analyzer {
        name: "storage",
        role: Role::SreInvestigator,
        explains: "claims that are not bound, classes that do not exist, volumes that do not mount",
        causes: storage::CAUSES,
        run: storage::analyze,
    },
    Analyzer {
        name: "policy",
        role: Role::SreInvestigator,
        explains: "pods that quota, limit ranges, PodSecurity or webhooks refuse",
        causes: policy::CAUSES,
        run: policy::analyze,
    },
    Analyzer {
        name: "services",
        role: Role::SreInvestigator,
        explains: "Services that select nothing or the wrong port or get no address, workloads scaled to nothing",
        causes: services::CAUSES,
        run: services::analyze,
    },
    Analyzer {
        name: "hangs",
        role: Role::SreInvestigator,
        explains: "programs that run, are ready, and do nothing any more",
        causes: hangs::CAUSES,
        run: hangs::analyze,
    },
    Analyzer {
        name: "ingresses",
        role: Role::SreInvestigator,
        explains: "Ingresses without their Service, its port or their class",
        causes: ingresses::CAUSES,
        run: ingresses::analyze,
    },
    Analyzer {
        name: "memory",
        role: Role::SreInvestigator,
        explains: "containers killed for memory: a leak, a limit, a revision",
        causes: memory::CAUSES,
        run: memory::analyze,
    },
    Analyzer {
        name: "cpu",
        role: Role::SreInvestigator,
        explains: "containers held at their CPU limit under load",
        causes: cpu::CAUSES,
        run: cpu::analyze,
    },
    Analyzer {
        name: "autoscaling",
        role: Role::SreInvestigator,
        explains: "autoscalers without requests, without target, at their maximum",
        causes: autoscaling::CAUSES,
        run: autoscaling::analyze,
    },
    Analyzer {
        name: "vertical",
        role: Role::SreInvestigator,
        explains: "autoscalers of requests (VPA) in the way of an HPA, of the nodes' size, of what a program needs or of its only replica",
        causes: vertical::CAUSES,
        run: vertical::analyze,
    },
    Analyzer {
        name: "jobs",
        role: Role::SreInvestigator,
        explains: "Jobs that failed, deadlines, suspended CronJobs",
        causes: jobs::CAUSES,
        run: jobs::analyze,
    },
    Analyzer {
        name: "waits",
        role: Role::SreInvestigator,
        explains: "pods that never get to work or never end: init containers that wait, sidecars that keep a Job, commands that end at once, hooks and pod sandboxes that fail, paused rollouts, budgets that let nothing go",
        causes: waits::CAUSES,
        run: waits::analyze,
    },
    Analyzer {
        name: "shutdown",
        role: Role::SreInvestigator,
        explains: "containers that are killed because what should precede their end takes longer than they are given",
        causes: shutdown::CAUSES,
        run: shutdown::analyze,
    },
    Analyzer {
        name: "nodes",
        role: Role::SreInvestigator,
        explains: "nodes that are not ready or short of memory, disk or processes",
        causes: nodes::CAUSES,
        run: nodes::analyze,
    },
    Analyzer {
        name: "settings",
        role: Role::CodeAnalyst,
        explains: "settings that the program's log calls missing, and where a value for them is known",
        causes: settings::CAUSES,
        run: settings::analyze,
    },
    Analyzer {
        name: "values",
        role: Role::CodeAnalyst,
        explains: "settings whose value the program cannot read, that were not expanded, or that changed after the start",
        causes: values::CAUSES,
        run: values::analyze,
    },
    Analyzer {
        name: "volumes",
        role: Role::CodeAnalyst,
        explains: "files and directories that the program's log names, by the volume that they lie on",
        causes: volumes::CAUSES,
        run: volumes::analyze,
    },
    Analyzer {
        name: "surroundings",
        role: Role::CodeAnalyst,
        explains: "what a program lacks around it: line endings, locale, time zone, clock, shared memory, process limits, a token",
        causes: surroundings::CAUSES,
        run: surroundings::analyze,
    },
    Analyzer {
        name: "dependencies",
        role: Role::CodeAnalyst,
        explains: "calls that fail: refused, timed out, not resolved, answered with an error",
        causes: dependencies::CAUSES,
        run: dependencies::analyze,
    },
    Analyzer {
        name: "rbac",
        role: Role::CodeAnalyst,
        explains: "identities that the API server refuses",
        causes: rbac::CAUSES,
        run: rbac::analyze,
    },
    Analyzer {
        name: "signatures",
        role: Role::CodeAnalyst,
        explains: "known phrases of run times and libraries: pools, certificates, syntax, files, descriptors, disks",
        causes: signatures::CAUSES,
        run: signatures::analyze,
    },
    Analyzer {
        name: "crash",
        role: Role::CodeAnalyst,
        explains: "uncaught errors, with the innermost frame of the application",
        causes: crash::CAUSES,
        run: crash::analyze,
    },
    Analyzer {
        name: "changes",
        role: Role::CodeAnalyst,
        explains: "what changed before the trouble, when and by whom: configuration that pods fail with since; rollouts that do not end",
        causes: changes::CAUSES,
        run: changes::analyze,
    },
    Analyzer {
        name: "cascade",
        role: Role::CodeAnalyst,
        explains: "failures that pass from program to program: a called one that is ready and does not answer, a chain of errors in one log",
        causes: cascade::CAUSES,
        run: cascade::analyze,
    },
    Analyzer {
        name: "code",
        role: Role::CodeAnalyst,
        explains: "source code in evidence beside a fault that it can bring: what only grows, what is not given back, retries without a pause, timeouts that are too short, locks in both orders",
        causes: code::CAUSES,
        run: code::analyze,
    },
    Analyzer {
        name: "forms",
        role: Role::CodeAnalyst,
        explains: "mounted files that a program cannot read for their form",
        causes: forms::CAUSES,
        run: forms::analyze,
    },
    Analyzer {
        name: "links",
        role: Role::CodeAnalyst,
        explains: "programs that read as their own setting what Kubernetes sets for a Service",
        causes: links::CAUSES,
        run: links::analyze,
    },
    Analyzer {
        name: "retries",
        role: Role::CodeAnalyst,
        explains: "clients whose retries overload what they call",
        causes: retries::CAUSES,
        run: retries::analyze,
    },
    Analyzer {
        name: "migrations",
        role: Role::SreInvestigator,
        explains: "schemas that lack what a program asks for, because the Job that should have made it failed",
        causes: migrations::CAUSES,
        run: migrations::analyze,
    },
    Analyzer {
        name: "stopped",
        role: Role::CodeAnalyst,
        explains: "programs that run, are ready, and have stopped to work: a thread that ended, a steady log that fell silent",
        causes: stopped::CAUSES,
        run: stopped::analyze,
    },
    Analyzer {
        name: "neighbours",
        role: Role::SreInvestigator,
        explains: "workloads that take the node's processors or memory from others, such as a CronJob while it runs",
        causes: neighbours::CAUSES,
        run: neighbours::analyze,
    },
    Analyzer {
        name: "novelty",
        role: Role::CodeAnalyst,
        explains: "errors that no signature knows and that dominate a log, are new in it, or that only some pods say",
        causes: novelty::CAUSES,
        run: novelty::analyze,
    },
];

/// Everything that every analyzer claims, with what is known of the change that brought it.
pub fn run_all(view: &View<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for analyzer in ALL {
        for mut finding in (analyzer.run)(view) {
            finding.agent = analyzer.role;
            finding.evidence.retain(|id| view.facts.case.has_evidence(id));
            // Whatever else shows the same object would show it without what is cited.
            for id in view.facts.case.also_in(&finding.object) {
                if !finding.evidence.is_empty() && !finding.evidence.contains(id) {
                    finding.evidence.push(id.clone());
                }
            }
            if !finding.evidence.is_empty() {
                findings.push(finding);
            }
        }
    }
    for mut callee in cascade::silent_callees(view, &findings) {
        callee.agent = Role::CodeAnalyst;
        findings.push(callee);
    }
    rollout::attach(view, &mut findings);
    for mut change in rollout::code_changes(view, &findings) {
        change.agent = Role::CodeAnalyst;
        findings.push(change);
    }
    for mut change in changes::config(view, &findings) {
        change.agent = Role::CodeAnalyst;
        findings.push(change);
    }
    for mut suspect in code::suspects(view, &findings) {
        suspect.agent = Role::CodeAnalyst;
        findings.push(suspect);
    }
    findings
}

/// Adds a claim; one that says the same of the same object lends its evidence to the first.
pub(crate) fn merge(found: &mut Vec<Finding>, finding: Finding) {
    let same = |known: &&mut Finding| {
        known.object == finding.object
            && known.category == finding.category
            && known.points_to == finding.points_to
            && known.remedy == finding.remedy
    };
    match found.iter_mut().find(same) {
        Some(known) => {
            for id in finding.evidence {
                if !known.evidence.contains(&id) {
                    known.evidence.push(id);
                }
            }
        }
        None => found.push(finding),
    }
}

/// A claim in the making.
#[derive(Clone, Debug)]
pub(crate) struct Claim(Finding);

/// Begins a claim.
pub(crate) fn claim(category: &str, object: &ObjectName, depth: Depth, basis: Basis, agreeing: u8) -> Claim {
    Claim(Finding {
        id: String::new(),
        agent: Role::SreInvestigator,
        category: category.to_owned(),
        summary: String::new(),
        object: object.clone(),
        confidence: confidence::base(basis, agreeing),
        evidence: Vec::new(),
        depth,
        since: None,
        points_to: Vec::new(),
        affects: Vec::new(),
        remedy: None,
        long_term: Vec::new(),
    })
}

impl Claim {
    pub(crate) fn says(mut self, summary: impl Into<String>) -> Self {
        self.0.summary = summary.into();
        self
    }

    pub(crate) fn cites<'e>(mut self, evidence: impl IntoIterator<Item = &'e str>) -> Self {
        for id in evidence {
            if !id.is_empty() && !self.0.evidence.iter().any(|known| known == id) {
                self.0.evidence.push(id.to_owned());
            }
        }
        self
    }

    pub(crate) fn points_to(mut self, objects: impl IntoIterator<Item = ObjectName>) -> Self {
        self.0.points_to.extend(objects);
        self
    }

    pub(crate) fn affects(mut self, objects: impl IntoIterator<Item = ObjectName>) -> Self {
        self.0.affects.extend(objects);
        self
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<Option<Remedy>>) -> Self {
        self.0.remedy = remedy.into();
        self
    }

    pub(crate) fn manual(self, instruction: impl Into<String>) -> Self {
        self.remedy(Remedy::Manual {
            instruction: instruction.into(),
        })
    }

    pub(crate) fn since(mut self, at: Option<Timestamp>) -> Self {
        self.0.since = at;
        self
    }

    pub(crate) fn long_term(mut self, advice: impl Into<String>) -> Self {
        self.0.long_term.push(advice.into());
        self
    }

    pub(crate) fn done(self) -> Finding {
        self.0
    }
}

/// The last change of a workload's pod template, in one sentence.
pub fn last_change(workload: &super::facts::Workload<'_>) -> Option<String> {
    let (number, changes) = rollout::last_change(workload)?;
    let shown = changes
        .iter()
        .take(4)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("; ");
    Some(format!(
        "Last change of {}: revision {number}: {}",
        workload.name,
        crate::text::clip(&shown, 500)
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The analyzer's source without its table.
    fn source(name: &str) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diagnosis/analyzers");
        let files: &[&str] = match name {
            "dependencies" => &["dependencies", "network", "names"],
            "changes" => &["changes", "rollout"],
            _ => &[name],
        };
        let parts = std::fs::read_dir(folder.join(name))
            .into_iter()
            .flatten()
            .map(|part| part.unwrap().path());
        let whole: String = files
            .iter()
            .map(|file| folder.join(format!("{file}.rs")))
            .chain(parts)
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect();
        let (before, rest) = whole.split_once("const CAUSES").unwrap();
        let (_, after) = rest.split_once("];").unwrap();
        format!("{before}{after}")
    }

    #[test]
    fn every_cause_in_a_table_is_claimed_by_its_analyzer() {
        for analyzer in ALL {
            let source = source(analyzer.name);
            assert!(!analyzer.causes.is_empty(), "{}", analyzer.name);
            for cause in analyzer.causes {
                assert!(
                    source.contains(&format!("\"{}\"", cause.category)),
                    "{} never claims {}",
                    analyzer.name,
                    cause.category
                );
            }
        }
    }

    #[test]
    fn every_cause_says_what_it_explains_from_what_and_what_looks_alike() {
        for analyzer in ALL {
            let mut seen = BTreeSet::new();
            for cause in analyzer.causes {
                assert!(seen.insert(cause.category), "{} twice", cause.category);
                for text in [cause.explains, cause.evidence, cause.look_alikes] {
                    assert!(text.len() > 3 && text.ends_with('.'), "{}: {text}", cause.category);
                }
            }
        }
    }
}
