//! The chart, rendered by helm with many sets of values: what it gives to whom, what its pods are, and what it refuses. Needs helm
//! (on the PATH, or named by FIREWATCH_HELM) and no cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "chart/observability.rs"]
mod observability;
#[path = "chart/pods.rs"]
mod pods;
#[path = "chart/render.rs"]
mod render;
#[path = "chart/rights.rs"]
mod rights;
#[path = "chart/values.rs"]
mod values;
