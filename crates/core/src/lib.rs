//! The pure core of Firewatch. It holds everything that decides and nothing that acts: types of the custom resources, the loop's
//! decisions, agents, diagnosis, plans, approvals, and what a sandbox may run.
//!
//! It must never know a client, a pool, an HTTP library, a runtime or a clock of its own; time comes in as an argument.
//! The operator (`firewatch`), the sandbox runner and the kubectl plugin call it.

pub mod agents;
pub mod api;
pub mod approval;
pub mod diagnosis;
pub mod incident;
pub mod intake;
pub mod metrics;
pub mod notify;
pub mod remediation;
pub mod report;
pub mod sandbox;
pub mod text;
