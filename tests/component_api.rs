//! The HTTP API against a real API server: callers with real tokens and real rights, over real connections. Where the chart is installed
//! the server acts as the operator, with its rights and under its guards; of what only the operator may write the administrator is then
//! kept, and so is the API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    missing_docs
)]

#[path = "api/decisions.rs"]
mod decisions;
#[path = "support/definitions.rs"]
mod definitions;
#[path = "api/doubles.rs"]
mod doubles;
#[path = "api/reports.rs"]
mod reports;
#[path = "api/schema.rs"]
mod schema;
#[path = "api/streams.rs"]
mod streams;
#[path = "api/world.rs"]
mod world;
