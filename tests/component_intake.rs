//! The intake against a real API server: webhooks over real connections become Incidents there. Each test has namespaces of its own.
//! Where the chart is installed the tests act as the operator, with its rights and under its guards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    missing_docs
)]

#[path = "intake/bridge.rs"]
mod bridge;
#[path = "support/definitions.rs"]
mod definitions;
#[path = "intake/pagerduty.rs"]
mod pagerduty;
#[path = "intake/siege.rs"]
mod siege;
#[path = "intake/storm.rs"]
mod storm;
#[path = "intake/trouble.rs"]
mod trouble;
#[path = "intake/world.rs"]
mod world;
