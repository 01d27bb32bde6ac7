//! A whole investigation as a machine without I/O: which questions to put next, side by side, until both specialists have reported,
//! and then the diagnosis and the plan. It asks what the operator's agents ask, in smaller portions.
//!
//! Must never run a command or know a clock. Called by the plugin, which puts the questions with the user's own rights.

use k8s_openapi::jiff::Timestamp;

use super::{AgentReport, AgentRun, AgentStep, commander, remediation_planner};
use crate::api::status::{PlanStatus, Review};
use crate::api::{ObjectName, Role};
use crate::diagnosis::{self, CaseFile, Diagnosis, questions};
use crate::remediation::plan::PlanningContext;
use crate::remediation::remedies::{Nodes, Reach};
use crate::sandbox::command::{Command, Resource};
use crate::sandbox::evidence::{Evidence, EvidenceState};

/// One thing to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Id of the evidence that will answer it.
    pub id: String,
    /// Who asks.
    pub role: Role,
    /// What.
    pub command: Command,
}

/// An investigation under way.
#[derive(Debug)]
pub struct Investigation {
    case: CaseFile,
    evidence: Vec<Evidence>,
    runs: Vec<AgentRun>,
    reports: Vec<AgentReport>,
    /// Lists of several kinds of which not all was answered: asked again, one kind each.
    again: Vec<(Role, Command)>,
    asked: usize,
    /// Whether whoever asks can ask a Prometheus.
    metrics: bool,
}

/// What an investigation came to.
#[derive(Debug)]
pub struct Conclusion {
    /// Everything that was read, as typed values.
    pub case: CaseFile,
    /// Everything that was read, as it was read.
    pub evidence: Vec<Evidence>,
    /// What it shows.
    pub diagnosis: Diagnosis,
    /// What would repair it.
    pub plan: PlanStatus,
    /// What the Commander says of the plan.
    pub review: Review,
}

impl Investigation {
    /// One that has not asked anything. Without a target: of the whole namespace.
    pub fn new(namespace: &str, target: Option<ObjectName>, now: Timestamp) -> Self {
        Self {
            case: CaseFile::new(namespace, target, now),
            evidence: Vec::new(),
            runs: vec![AgentRun::start(Role::SreInvestigator)],
            reports: Vec::new(),
            again: Vec::new(),
            asked: 0,
            metrics: false,
        }
    }

    /// With questions to a Prometheus, when the first look has shown whose pods matter.
    #[must_use]
    pub fn with_metrics(mut self) -> Self {
        self.metrics = true;
        self
    }

    /// One of which all evidence is there already: nothing is asked.
    pub fn recorded(
        namespace: &str,
        target: Option<ObjectName>,
        now: Timestamp,
        evidence: Vec<Evidence>,
    ) -> Conclusion {
        let mut whole = Self::new(namespace, target, now);
        whole.runs.clear();
        whole.answer(evidence);
        whole.conclude()
    }

    /// What to read next, all of it side by side. Nothing: the investigation is over.
    pub fn questions(&mut self) -> Vec<Question> {
        let mut wanted: Vec<(Role, Command)> = std::mem::take(&mut self.again);
        let first = self.asked == 0;
        let mut going = Vec::new();
        for mut run in std::mem::take(&mut self.runs) {
            match run.next(&self.case) {
                AgentStep::NeedEvidence(commands) => {
                    for command in commands.iter().flat_map(questions::portions) {
                        if !wanted.iter().any(|(_, known)| *known == command) {
                            wanted.push((run.role, command));
                        }
                    }
                    going.push(run);
                }
                AgentStep::Report(report) => self.reports.push(report),
            }
        }
        if self.metrics && !first {
            let view = diagnosis::view(&self.case);
            let measured = questions::metrics(&view.facts);
            // Once: what is not known after the first look is not measured.
            self.metrics = measured.is_empty() && self.case.complete_list(Resource::Pods).is_none();
            wanted.extend(measured.into_iter().map(|command| (Role::SreInvestigator, command)));
        }
        if first {
            // It reads the pods' own words, so it begins when the pods are known.
            going.push(AgentRun::start(Role::CodeAnalyst));
        }
        self.runs = going;
        wanted
            .into_iter()
            .map(|(role, command)| {
                self.asked = self.asked.saturating_add(1);
                Question {
                    id: format!("E{}", self.asked),
                    role,
                    command,
                }
            })
            .collect()
    }

    /// Takes answers, in the order of their questions.
    pub fn answer(&mut self, answers: Vec<Evidence>) {
        for one in answers {
            if let Command::Get {
                resources,
                scope,
                name: None,
            } = &one.command
                && resources.len() > 1
                && matches!(
                    one.state,
                    EvidenceState::Forbidden | EvidenceState::NotFound | EvidenceState::Failed
                )
            {
                self.again.extend(resources.iter().map(|resource| {
                    let single = Command::Get {
                        resources: vec![*resource],
                        scope: scope.clone(),
                        name: None,
                    };
                    (one.agent, single)
                }));
            }
            self.case.add(&one);
            self.evidence.push(one);
        }
    }

    /// What is known so far.
    pub fn case(&self) -> &CaseFile {
        &self.case
    }

    /// The diagnosis, and the plan for it.
    pub fn conclude(self) -> Conclusion {
        let diagnosis = commander::consolidate(&self.reports, &self.case);
        let context = PlanningContext {
            reach: Reach {
                namespace: self.case.namespace().to_owned(),
                nodes: Nodes::Off,
            },
            revision: 1,
            ..PlanningContext::default()
        };
        let plan = remediation_planner::plan(&diagnosis, &self.case, &context);
        let review = commander::review(&plan, &diagnosis);
        Conclusion {
            case: self.case,
            evidence: self.evidence,
            diagnosis,
            plan,
            review,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::sandbox::command::{Lane, Scope};

    fn answer(question: &Question, state: EvidenceState, output: &str) -> Evidence {
        Evidence {
            id: question.id.clone(),
            agent: question.role,
            command: question.command.clone(),
            argv: Vec::new(),
            state,
            exit_code: None,
            duration_ms: 0,
            collected_at: Timestamp::UNIX_EPOCH,
            output: output.to_owned(),
            sha256: String::new(),
        }
    }

    fn lists(question: &Question, resource: Resource) -> bool {
        matches!(&question.command, Command::Get { resources, .. } if resources.contains(&resource))
    }

    #[test]
    fn a_kind_that_is_refused_does_not_hide_the_others_of_its_portion() {
        let mut investigation = Investigation::new("shop", None, Timestamp::UNIX_EPOCH);
        let first = investigation.questions();
        let answers = first
            .iter()
            .map(|question| {
                let state = if lists(question, Resource::Roles) {
                    EvidenceState::Forbidden
                } else {
                    EvidenceState::Complete
                };
                answer(question, state, r#"{"items":[]}"#)
            })
            .collect();
        investigation.answer(answers);
        let again: Vec<Command> = investigation
            .questions()
            .into_iter()
            .map(|question| question.command)
            .collect();
        for resource in [Resource::Roles, Resource::RoleBindings] {
            let single = Command::Get {
                resources: vec![resource],
                scope: Scope::Namespace("shop".to_owned()),
                name: None,
            };
            assert!(again.contains(&single), "{again:?}");
        }
        assert_eq!(again.len(), 2, "nothing is asked twice: {again:?}");
    }

    #[test]
    fn a_prometheus_is_asked_once_about_the_target_and_only_where_there_is_one() {
        let deployment = r#"{"items":[{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"},"spec":{"selector":{},"template":{}}},
            {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"other","namespace":"shop"},"spec":{"selector":{},"template":{}}}]}"#;
        for metrics in [true, false] {
            let target = ObjectName::namespaced("Deployment", "shop", "web");
            let mut investigation = Investigation::new("shop", Some(target), Timestamp::UNIX_EPOCH);
            if metrics {
                investigation = investigation.with_metrics();
            }
            let mut measured = Vec::new();
            loop {
                let questions = investigation.questions();
                if questions.is_empty() {
                    break;
                }
                let of_metrics = questions
                    .iter()
                    .filter(|question| question.command.lane() == Lane::Metrics);
                measured.extend(of_metrics.map(|question| diagnosis::show(&question.command)));
                let answers = questions.iter().map(|question| {
                    let output = if lists(question, Resource::Deployments) {
                        deployment
                    } else {
                        r#"{"items":[]}"#
                    };
                    answer(question, EvidenceState::Complete, output)
                });
                investigation.answer(answers.collect());
            }
            assert_eq!(measured.len(), if metrics { 6 } else { 0 }, "{measured:?}");
            assert!(
                measured.iter().all(|text| text.contains("deployments/web in shop")),
                "{measured:?}"
            );
        }
    }

    #[test]
    fn it_ends_whatever_is_answered() {
        for state in [
            EvidenceState::Complete,
            EvidenceState::Forbidden,
            EvidenceState::TimedOut,
        ] {
            let mut investigation = Investigation::new("shop", None, Timestamp::UNIX_EPOCH);
            let mut rounds = 0;
            loop {
                let questions = investigation.questions();
                if questions.is_empty() {
                    break;
                }
                rounds += 1;
                assert!(rounds < 8, "it goes on and on: {questions:?}");
                let answers = questions.iter().map(|question| answer(question, state, "")).collect();
                investigation.answer(answers);
            }
            let conclusion = investigation.conclude();
            assert!(conclusion.diagnosis.root_cause.is_none());
            assert!(conclusion.plan.actions.is_empty());
        }
    }
}
