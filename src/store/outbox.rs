//! The outbox of notifications, as the sender sees it. Kept by Postgres alone: a file has one reader and no second chance. Implemented by
//! `postgres`, used by `notify`.

use std::time::Duration;

use serde_json::Value;

use super::Stored;

/// A notice on its way to one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Which incident's.
    pub incident_uid: String,
    /// Which transition's.
    pub sequence: i64,
    /// To which channel.
    pub channel: String,
    /// Name of the incident.
    pub incident_name: String,
    /// Its namespace.
    pub namespace: String,
    /// What is told.
    pub notice: Value,
}

/// One that this process is about to send. Nobody else sends it until the claim ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// What and where to.
    pub row: Outgoing,
    /// Which try this is, from 1.
    pub attempts: i32,
    /// The claim: what was claimed anew meanwhile is not touched.
    pub claim: String,
}

/// A message that is renewed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Where it is.
    pub place: String,
    /// Which it is there.
    pub message: String,
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub count: i64,
    /// Since how many seconds the oldest has.
    pub oldest_seconds: i64,
}

/// Where notices wait until they are told.
pub trait Outbox: Send + Sync {
    /// Keeps these; what is there already stays as it is.
    fn enqueue<'a>(&'a self, rows: &'a [Outgoing]) -> Stored<'a, ()>;
    /// Takes some that are due at a channel, never one before the earlier ones of its incident have ended.
    fn claim<'a>(&'a self, channel: &'a str, most: i64, hold: Duration) -> Stored<'a, Vec<Claimed>>;
    /// It was taken by the receiver.
    fn sent<'a>(&'a self, claimed: &'a Claimed) -> Stored<'a, ()>;
    /// It was not, and is tried again after a pause.
    fn put_off<'a>(&'a self, claimed: &'a Claimed, pause: Duration, why: &'a str) -> Stored<'a, ()>;
    /// It never will be.
    fn give_up<'a>(&'a self, claimed: &'a Claimed, why: &'a str) -> Stored<'a, ()>;
    /// Gives up what waits for channels other than these; how many.
    fn give_up_others<'a>(&'a self, channels: &'a [String]) -> Stored<'a, u64>;
    /// The message of an incident at a channel.
    fn thread<'a>(&'a self, incident_uid: &'a str, channel: &'a str) -> Stored<'a, Option<Thread>>;
    /// Remembers it, in place of an earlier one.
    fn remember_thread<'a>(&'a self, incident_uid: &'a str, channel: &'a str, thread: &'a Thread) -> Stored<'a, ()>;
    /// What waits.
    fn waiting(&self) -> Stored<'_, Waiting>;
}
