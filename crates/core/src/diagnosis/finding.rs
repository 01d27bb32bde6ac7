//! What analyzers claim, and what the diagnosis makes of it. Every claim cites evidence; confidence is computed by code.

use serde::{Deserialize, Serialize};

use crate::api::{ObjectName, Role};

/// A number from 0 to 1 in hundredths, so that it is exact, ordered and never NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidence(u8);

impl Confidence {
    /// From hundredths; more than 100 is 100.
    pub const fn hundredths(value: u8) -> Self {
        Self(if value > 100 { 100 } else { value })
    }

    /// In hundredths.
    pub const fn as_hundredths(self) -> u8 {
        self.0
    }
}

impl std::fmt::Display for Confidence {
    /// `0.93`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// A claim about one object, resting on evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// `F1`, `F2`, …; given when findings are put together.
    pub id: String,
    /// Who found it.
    pub agent: Role,
    /// What kind of trouble, CamelCase and stable: `MissingEnvironmentVariable`.
    pub category: String,
    /// The claim in one sentence that names object and cause.
    pub summary: String,
    /// What it is about.
    pub object: ObjectName,
    /// Computed.
    pub confidence: Confidence,
    /// Ids of the evidence that it rests on; never empty.
    pub evidence: Vec<String>,
}
