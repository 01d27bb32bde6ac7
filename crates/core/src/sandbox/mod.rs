//! What may run in the sandbox, and what comes out of it: typed commands, the policy that both sides share, the Job that carries
//! them, redaction, and evidence. Called by the operator (to build and read Jobs), by the runner and by the plugin (to check and run).

pub mod command;
pub mod evidence;
pub mod job;
pub mod outcome;
pub mod output;
pub mod permissions;
pub mod policy;
pub mod prune;
pub mod redact;
pub mod request;
pub mod restricted;
