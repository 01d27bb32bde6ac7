//! The record of an investigation: its rows, the one row for people's queries, the full response, and the post-mortem made from it.
//! Pure. Everyone who shows an investigation (command line, API, database) gets the same document from here.

pub mod audit_row;
pub mod story;

pub use audit_row::AuditRow;
pub use story::{ApprovalRow, CommandRow, EvidenceRow, IncidentMeta, MessageRow, Story};
