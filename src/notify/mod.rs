//! Tells people outside the cluster: Slack, a signed webhook, PagerDuty, e-mail. What is told is decided in the core (`notify`); this
//! keeps it in an outbox and sends it, at least once, in order for each incident and channel.
//!
//! It must never hold up or fail the loop: the relay only writes rows, and a sender of its own, on the leader alone, reads them. Nothing
//! that comes back is obeyed: an answer says whether a message was taken, and nobody approves anything here.

pub mod config;
pub mod deliver;
mod email;
pub mod enqueue;
pub mod http;
pub mod sender;
mod slack_app;

pub use config::{NotifyArgs, NotifyError};
pub use enqueue::Notifier;
