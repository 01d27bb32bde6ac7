//! An agent that has reported by rules and now consults a model: it asks the model, collects what the model wants to read, and reports
//! once more. Between two steps it is stored by the loop. Called by the operator's edge, by tests and by the evaluation.

use serde::{Deserialize, Serialize};

use super::answer::ModelAnswer;
use super::check::Opinion;
use super::consensus::{self, Agreement};
use super::economics::{self, Need};
use super::run::{ModelRequest, ModelRun, ModelStep};
use crate::agents::commander;
use crate::agents::messages;
use crate::agents::run::{AgentReport, AgentRun};
use crate::api::Role;
use crate::diagnosis::{CaseFile, Confidence, Diagnosis};
use crate::sandbox::command::Command;
use crate::text::clip;

/// One agent's consultation, between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consultation {
    /// Who.
    pub role: Role,
    /// How far.
    pub model: ModelRun,
}

/// What it does next.
#[derive(Clone, Debug, PartialEq)]
pub enum ConsultStep {
    /// Wants these, in one sandbox Job.
    NeedEvidence(Vec<Command>),
    /// Wants a model's answer to this, which is then given to `take`.
    CallModel(Box<ModelRequest>),
    /// Is done.
    Report(Box<AgentReport>),
}

impl Consultation {
    /// One that has not asked.
    pub fn start(role: Role, need: Need, about: &str, shared: Vec<String>) -> Self {
        Self {
            role,
            model: ModelRun::start(need, about, shared),
        }
    }

    /// What it does next, given what is known now.
    pub fn next(&mut self, case: &CaseFile) -> ConsultStep {
        match self.model.next(self.role, case) {
            ModelStep::Call(request) => ConsultStep::CallModel(request),
            ModelStep::NeedEvidence(commands) => ConsultStep::NeedEvidence(commands),
            ModelStep::Done(opinion) => ConsultStep::Report(Box::new(self.report(case, *opinion))),
        }
    }

    /// Takes a model's answer to a request of this consultation.
    pub fn take(&mut self, case: &CaseFile, request: &ModelRequest, answer: &ModelAnswer) {
        self.model.take(case, request, answer);
    }

    fn report(&self, case: &CaseFile, opinion: Opinion) -> AgentReport {
        let mut report = AgentRun::start(self.role).report(case);
        let said = messages::opinion(self.role, &opinion);
        report.summary = clip(
            &format!("{}. {}", said.first().map_or("", |m| m.text.as_str()), report.summary),
            1000,
        );
        report.messages = said;
        report.opinion = Some(Box::new(opinion));
        report
    }
}

/// Who consults next, and about what; none: nobody does. `second`: specialists that stay apart have had their second look.
pub fn due(reports: &[AgentReport], case: &CaseFile, sure: Confidence, second: bool) -> Vec<(Role, Need, Vec<String>)> {
    let consulted = reports.iter().any(|report| report.opinion.is_some());
    if !consulted {
        let diagnosis = commander::consolidate(reports, case);
        return economics::need(&diagnosis, sure).map_or_else(Vec::new, |need| {
            economics::consulted(&diagnosis, need)
                .into_iter()
                .map(|role| (role, need, Vec::new()))
                .collect()
        });
    }
    if second || consensus::agreement(reports) != Agreement::Apart {
        return Vec::new();
    }
    [Role::SreInvestigator, Role::CodeAnalyst]
        .into_iter()
        .map(|role| (role, Need::Full, consensus::evidence_of_others(reports, role)))
        .collect()
}

/// Everything of one incident's consultations.
#[derive(Clone, Debug)]
pub struct Consulted {
    /// The diagnosis with what the models add.
    pub diagnosis: Diagnosis,
    /// Every exchange, in order.
    pub exchanges: Vec<(ModelRequest, ModelAnswer)>,
}

/// All consultations over a case to which nothing more comes: recorded evidence, in tests and in the evaluation. `roles`: who may be
/// asked at all.
pub fn over_recorded(
    case: &CaseFile,
    about: &str,
    sure: Confidence,
    roles: &[Role],
    answer: &mut dyn FnMut(&ModelRequest) -> ModelAnswer,
) -> Consulted {
    let mut reports: Vec<AgentReport> = [Role::SreInvestigator, Role::CodeAnalyst]
        .into_iter()
        .map(|role| AgentRun::start(role).report(case))
        .collect();
    let mut exchanges = Vec::new();
    for second in [false, true] {
        for (role, need, shared) in due(&reports, case, sure, false) {
            if !roles.contains(&role) || (second && need != Need::Full) {
                continue;
            }
            let mut consultation = Consultation::start(role, need, about, shared);
            let report = loop {
                match consultation.next(case) {
                    ConsultStep::CallModel(request) => {
                        let answered = answer(&request);
                        consultation.take(case, &request, &answered);
                        exchanges.push((*request, answered));
                    }
                    // What was not recorded cannot be read.
                    ConsultStep::NeedEvidence(_) => {}
                    ConsultStep::Report(report) => break *report,
                }
            };
            reports.retain(|one| one.role != role);
            reports.push(report);
        }
    }
    Consulted {
        diagnosis: commander::consolidate(&reports, case),
        exchanges,
    }
}
