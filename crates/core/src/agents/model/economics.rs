//! When a model is asked at all, and which: the cheapest call is none. Called by the operator before it lets agents consult a model.

use serde::{Deserialize, Serialize};

use super::prompt::Tier;
use crate::api::Role;
use crate::diagnosis::{Confidence, Diagnosis, Verdict};

/// From this confidence on the rules are sure, where no policy says otherwise.
pub const SURE: Confidence = Confidence::hundredths(85);

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Need {
    /// The rules have a cause and are not sure: one agent looks over what it rests on.
    Small,
    /// The rules have none: both specialists read the pruned evidence.
    Full,
}

impl Need {
    /// Which model.
    pub const fn tier(self) -> Tier {
        match self {
            Self::Small => Tier::Cheap,
            Self::Full => Tier::Standard,
        }
    }

    /// Tokens of a request, as estimated, that are never exceeded.
    pub const fn request_tokens(self) -> u64 {
        match self {
            Self::Small => 1200,
            Self::Full => 2400,
        }
    }
}

/// What to ask a model about this; none: nothing.
pub fn need(diagnosis: &Diagnosis, sure: Confidence) -> Option<Need> {
    match (diagnosis.verdict, &diagnosis.root_cause) {
        (Verdict::Healthy, _) => None,
        (Verdict::Found, Some(root)) if root.finding.confidence >= sure => None,
        (Verdict::Found, Some(_)) => Some(Need::Small),
        _ => Some(Need::Full),
    }
}

/// Who is asked.
pub fn consulted(diagnosis: &Diagnosis, need: Need) -> Vec<Role> {
    match (need, &diagnosis.root_cause) {
        (Need::Small, Some(root)) => vec![root.finding.agent],
        _ => vec![Role::SreInvestigator, Role::CodeAnalyst],
    }
}
