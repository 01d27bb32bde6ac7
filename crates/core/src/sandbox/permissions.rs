//! What each agent may do, as data: `config/agents/*.yaml`, compiled in. The same rights stand in the chart's RBAC; both must allow.

use std::sync::LazyLock;

use serde::Deserialize;

use super::command::{Lane, Resource};
use crate::api::Role;

/// What one agent may do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Permissions {
    /// What the agent is for, in one sentence.
    #[serde(default)]
    pub purpose: String,
    /// Lanes in which it may run commands.
    #[serde(default)]
    pub lanes: Vec<Lane>,
    /// Names of the commands that it may run there.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Kinds that it may read.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// What it is told where it works with a model.
    #[serde(default)]
    pub model: Option<crate::agents::model::prompt::Prompt>,
}

struct All {
    commander: Permissions,
    sre_investigator: Permissions,
    code_analyst: Permissions,
    remediation_planner: Permissions,
}

/// A file that cannot be read grants nothing; a test shows that each can.
fn parse(yaml: &str) -> Permissions {
    serde_saphyr::from_str(yaml).unwrap_or_default()
}

static ALL: LazyLock<All> = LazyLock::new(|| All {
    commander: parse(include_str!("../../../../config/agents/commander.yaml")),
    sre_investigator: parse(include_str!("../../../../config/agents/sre-investigator.yaml")),
    code_analyst: parse(include_str!("../../../../config/agents/code-analyst.yaml")),
    remediation_planner: parse(include_str!("../../../../config/agents/remediation-planner.yaml")),
});

impl Permissions {
    /// What this role may do.
    pub fn of(role: Role) -> Self {
        match role {
            Role::Commander => ALL.commander.clone(),
            Role::SreInvestigator => ALL.sre_investigator.clone(),
            Role::CodeAnalyst => ALL.code_analyst.clone(),
            Role::RemediationPlanner => ALL.remediation_planner.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_file_of_config_agents_is_understood() {
        for yaml in [
            include_str!("../../../../config/agents/commander.yaml"),
            include_str!("../../../../config/agents/sre-investigator.yaml"),
            include_str!("../../../../config/agents/code-analyst.yaml"),
            include_str!("../../../../config/agents/remediation-planner.yaml"),
        ] {
            let parsed: Permissions = serde_saphyr::from_str(yaml).unwrap();
            assert!(!parsed.purpose.is_empty());
        }
    }

    #[test]
    fn nobody_but_the_two_specialists_runs_a_command() {
        assert!(Permissions::of(Role::Commander).lanes.is_empty());
        assert!(Permissions::of(Role::RemediationPlanner).lanes.is_empty());
        assert!(!Permissions::of(Role::SreInvestigator).lanes.contains(&Lane::Remediate));
        assert!(!Permissions::of(Role::CodeAnalyst).lanes.contains(&Lane::Remediate));
    }
}
