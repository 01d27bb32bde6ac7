//! The record of an investigation: its rows, the one row for people's queries, the full response, and the post-mortem made from it.
//! Pure. Everyone who shows an investigation (command line, API, database) gets the same document from here.

pub mod audit_row;
pub mod build;
pub mod causal;
pub mod document;
pub mod explain;
pub mod investigation;
pub mod investigation_markdown;
pub mod markdown;
pub mod story;
pub mod summary;
pub mod timeline;

#[cfg(test)]
mod tests;

pub use audit_row::AuditRow;
pub use build::{StoryView, document, from_story};
pub use document::ResponseDocument;
pub use investigation::InvestigationDocument;
pub use markdown::markdown;
pub use story::{ApprovalRow, CommandRow, EvidenceRow, IncidentMeta, MessageRow, Story};
