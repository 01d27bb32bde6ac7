//! One agent's run: which evidence it wants next, and its report at the end. At most four rounds; never the same command twice.
//! Stored between steps by the loop; must never know a clock or do I/O.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use super::model::Opinion;
use super::{code_analyst, sre_investigator};
use crate::api::Role;
use crate::api::status::Engine;
use crate::diagnosis::{self, CaseFile, Finding};
use crate::sandbox::command::Command;
use crate::text::clip;

/// More rounds than this are never asked for.
pub const MAX_ROUNDS: u8 = 4;
/// More commands than this are never asked for in one round.
pub const MAX_COMMANDS: usize = 24;

/// One agent's run, between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRun {
    /// Who.
    pub role: Role,
    /// On which engine.
    pub engine: Engine,
    /// Rounds asked for so far.
    pub round: u8,
    /// Every command asked for so far.
    #[serde(default)]
    pub asked: Vec<Command>,
    /// Every message so far.
    #[serde(default)]
    pub messages: Vec<AgentMessage>,
}

/// What an agent does next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentStep {
    /// Wants these, in one sandbox Job.
    NeedEvidence(Vec<Command>),
    /// Is done.
    Report(AgentReport),
}

/// An agent's conclusion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    /// Who.
    pub role: Role,
    /// What it found.
    pub findings: Vec<Finding>,
    /// What it said to the others, in order.
    pub messages: Vec<AgentMessage>,
    /// In one sentence.
    pub summary: String,
    /// What its model adds, as far as it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opinion: Option<Box<Opinion>>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, AsRefStr, Display)]
pub enum MessageKind {
    /// The Commander gives work.
    Assignment,
    /// An agent says what it asks the cluster, and why.
    Request,
    /// An agent says what it found.
    Finding,
    /// An agent's conclusion.
    Report,
    /// The Commander's verdict.
    Review,
}

/// One message of one agent to another. The edge that stores it stamps the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentMessage {
    /// From whom.
    pub role: Role,
    /// To whom.
    pub to: Role,
    /// What it is.
    pub kind: MessageKind,
    /// What it says.
    pub text: String,
}

impl AgentRun {
    /// A run that has not asked for anything.
    pub fn start(role: Role) -> Self {
        Self {
            role,
            engine: Engine::Rules,
            round: 0,
            asked: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// What the agent does next, given what is known now.
    pub fn next(&mut self, case: &CaseFile) -> AgentStep {
        let wanted = if self.round >= MAX_ROUNDS {
            Vec::new()
        } else {
            match self.role {
                Role::SreInvestigator => sre_investigator::wants(case),
                Role::CodeAnalyst => code_analyst::wants(case),
                Role::Commander | Role::RemediationPlanner => Vec::new(),
            }
        };
        let mut fresh: Vec<Command> = Vec::new();
        for command in wanted {
            if fresh.len() < MAX_COMMANDS
                && !fresh.contains(&command)
                && !self.asked.contains(&command)
                && !case.has_asked(&command)
            {
                fresh.push(command);
            }
        }
        if fresh.is_empty() {
            return AgentStep::Report(self.report(case));
        }
        self.round += 1;
        self.asked.extend(fresh.iter().cloned());
        let list: Vec<String> = fresh.iter().map(diagnosis::show).collect();
        self.say(
            MessageKind::Request,
            format!("round {}: {}", self.round, clip(&list.join("; "), 1500)),
        );
        AgentStep::NeedEvidence(fresh)
    }

    fn say(&mut self, kind: MessageKind, text: String) {
        self.messages.push(AgentMessage {
            role: self.role,
            to: Role::Commander,
            kind,
            text,
        });
    }

    /// What it concludes from the case as it is.
    pub(super) fn report(&mut self, case: &CaseFile) -> AgentReport {
        let findings = diagnosis::findings_of(case, self.role);
        for finding in findings.iter().take(8) {
            let text = format!(
                "{}: {} ({})",
                finding.category,
                clip(&finding.summary, 600),
                finding.evidence.join(", ")
            );
            self.say(MessageKind::Finding, text);
        }
        let mut summary = match findings.first() {
            Some(first) => format!("{} findings, first: {}", findings.len(), clip(&first.summary, 400)),
            None => "nothing wrong found".to_owned(),
        };
        if self.role == Role::CodeAnalyst
            && let Some(change) = code_analyst::last_change(case)
        {
            summary = format!("{summary}. {change}");
        }
        self.say(MessageKind::Report, clip(&summary, 1000));
        AgentReport {
            role: self.role,
            findings,
            messages: self.messages.clone(),
            summary: clip(&summary, 1000),
            opinion: None,
        }
    }
}
