//! What the operator hands to a sandbox pod: one batch of commands, in an immutable ConfigMap under `request.json`.
//!
//! Commands cannot read it: it holds the nonce by which the operator knows the runner's own lines. Written by the operator, read
//! by the runner.

use serde::{Deserialize, Serialize};

use super::command::{Command, Lane};
use super::permissions::Permissions;
use super::policy::{self, PolicyRefusal, Tenancy};
use crate::api::Role;

/// Key in the ConfigMap.
pub const KEY: &str = "request.json";
/// The version that this runner understands.
pub const VERSION: u32 = 1;
/// The most that one command's output may hold.
pub const COMMAND_BYTES_MAX: usize = 256 * 1024;
/// The most that one pod prints.
pub const POD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest that one command may take, in milliseconds.
pub const COMMAND_TIMEOUT_MS: u64 = 10_000;
/// The longest that the runner works on a request, in milliseconds: under the pod's own 30 s.
pub const REQUEST_TIMEOUT_MS: u64 = 27_000;

/// One batch of commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SandboxRequest {
    /// `VERSION`.
    pub version: u32,
    /// 32 hex digits, fresh for each request; every line of the runner carries it.
    pub nonce: String,
    /// On whose behalf.
    pub role: Role,
    /// In which lane.
    pub lane: Lane,
    /// Where it may look.
    pub tenancy: Tenancy,
    /// What to run, in this order.
    pub commands: Vec<RequestedCommand>,
}

/// One command of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestedCommand {
    /// `c1`, `c2`, …
    pub id: String,
    /// What.
    pub command: Command,
}

impl SandboxRequest {
    /// A batch, with those commands left out that the policy refuses; the refusals are returned with it.
    pub fn new(
        nonce: String,
        role: Role,
        lane: Lane,
        tenancy: Tenancy,
        commands: &[Command],
    ) -> (Self, Vec<(Command, PolicyRefusal)>) {
        let permissions = Permissions::of(role);
        let mut refused = Vec::new();
        let mut admitted = Vec::new();
        for command in commands {
            match policy::check(&permissions, lane, &tenancy, command) {
                Ok(_) => admitted.push(RequestedCommand {
                    id: format!("c{}", admitted.len().saturating_add(1)),
                    command: command.clone(),
                }),
                Err(refusal) => refused.push((command.clone(), refusal)),
            }
        }
        (
            Self {
                version: VERSION,
                nonce,
                role,
                lane,
                tenancy,
                commands: admitted,
            },
            refused,
        )
    }
}
