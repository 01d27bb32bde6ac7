//! The way in for other machines: webhooks become Incidents. A server of its own on a port of its own; off unless configured, and never
//! without authentication.
//!
//! It writes Incidents and the alert's part of their status, nothing else, and it keeps nothing in memory that a restart would lose: what
//! was answered with 200 is in the API server; what could not be stored is answered with 503, so that the sender tries again.
//! Started by `run`, whether this process leads or not: everything is written under the resourceVersion that was read.

pub mod auth;
pub mod config;
pub mod listen;
mod pagerduty;
pub mod problem;
pub mod server;
pub mod store;
pub mod sweep;

pub use config::{IntakeConfig, IntakeError};
