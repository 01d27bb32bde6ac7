//! From typed values to text for people. Pure: no client, no clock, no terminal; time, width and colours come in.
//!
//! Text that came from a cluster is cleaned of control characters here, so that a log line cannot drive a terminal.

pub mod doctor;
pub mod explain;
pub mod investigation;
pub mod list;
mod next;
pub mod page;
pub mod plan;
pub mod policy;
pub mod show;
pub mod style;
pub mod text;
pub mod watch;
pub mod words;

#[cfg(test)]
pub(crate) mod fixture;
