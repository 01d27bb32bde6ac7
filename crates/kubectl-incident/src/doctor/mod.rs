//! Whether an installation is healthy: facts are gathered at the edge, judged purely, and each fault is named with its remedy.
//!
//! Must never change anything, read a Secret, or call something healthy that could not be read. Called by `kubectl incident doctor`.

pub mod facts;
pub mod gather;
pub mod judge;
mod rights;
mod sandbox;

use serde::Serialize;

/// How one thing stands. Ordered: the worst is the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Level {
    /// As it should be.
    Well,
    /// Worth knowing.
    Note,
    /// It works, and will hurt.
    Warning,
    /// It could not be read, so nothing is known.
    NotRead,
    /// It is broken.
    Fault,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Which thing.
    pub about: &'static str,
    /// How it stands.
    pub level: Level,
    /// What was seen.
    pub says: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedy: String,
}

impl Judgement {
    fn new(about: &'static str, level: Level, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            about,
            level,
            says: says.into(),
            remedy: remedy.into(),
        }
    }

    fn well(about: &'static str, says: impl Into<String>) -> Self {
        Self::new(about, Level::Well, says, "")
    }

    fn fault(about: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(about, Level::Fault, says, remedy)
    }

    fn not_read(about: &'static str, why: &str) -> Self {
        Self::new(
            about,
            Level::NotRead,
            format!("could not be read: {why}"),
            "call it with the rights of a cluster administrator (--as, --context)",
        )
    }
}

#[cfg(test)]
mod tests;
