//! What an agent is told, as data: the `model` part of `config/agents/*.yaml`, compiled in, with version and digest. It never holds text
//! of a cluster. Called by `run`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strum::{AsRefStr, Display};

use crate::api::Role;
use crate::sandbox::permissions::Permissions;

/// How good, and how dear, a model is asked.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, AsRefStr, Display,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Tier {
    /// For what the rules have nearly solved.
    Cheap,
    /// For what they have not.
    #[default]
    Standard,
}

/// What one agent is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prompt {
    /// Counted up with every change of the words.
    #[serde(default)]
    pub version: u32,
    /// Most tokens of an answer.
    #[serde(default)]
    pub max_tokens: u32,
    /// The words.
    #[serde(default)]
    pub instructions: String,
}

impl Prompt {
    /// What this role is told; none: the role works by rules alone.
    pub fn of(role: Role) -> Option<Self> {
        Permissions::of(role)
            .model
            .filter(|prompt| !prompt.instructions.is_empty())
    }

    /// `v1 sha256:…`: stands in every record of a call.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.version.to_be_bytes());
        hash.update(self.max_tokens.to_be_bytes());
        hash.update(self.instructions.as_bytes());
        format!("v{} sha256:{}", self.version, hex::encode(hash.finalize()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_specialists_have_a_prompt_and_each_its_own_digest() {
        let sre = Prompt::of(Role::SreInvestigator).unwrap();
        let analyst = Prompt::of(Role::CodeAnalyst).unwrap();
        assert!(sre.version >= 1 && sre.max_tokens >= 100);
        assert_ne!(sre.digest(), analyst.digest());
        let changed = Prompt {
            version: sre.version + 1,
            ..sre.clone()
        };
        assert_ne!(changed.digest(), sre.digest());
    }
}
