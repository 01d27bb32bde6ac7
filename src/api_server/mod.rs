//! The HTTP API: incidents are reported, read, followed and decided about over HTTP. A server of its own on a port of its own; off unless
//! configured.
//!
//! It gives nobody a right that they do not have in the cluster: who calls is told by the API server (`TokenReview`) or by a file of
//! tokens, whether they may is asked of the API server for the very verb, resource and namespace (`SubjectAccessReview`), and a decision
//! about a plan is written with the caller's own token, for that one write. It never impersonates, never decides, never touches a
//! workload, and neither stores nor logs a token. Started by `run`, whether this process leads or not.

pub mod access;
pub mod approval;
pub mod caller;
pub mod config;
pub mod create;
pub mod input;
pub mod middleware;
pub mod models;
pub mod openapi;
pub mod problem;
pub mod read;
pub mod scenarios;
pub mod server;
pub mod transitions;
pub mod write;

pub use config::{ApiConfig, ApiError};
