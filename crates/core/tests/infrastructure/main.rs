//! Faults of the infrastructure, one table for each domain: the cause in the words that Kubernetes uses, at the object that is wrong;
//! beside each what looks like it and is not, and what is healthy and looks ill.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    clippy::indexing_slicing,
    clippy::similar_names,
    clippy::too_many_lines
)]

mod autoscaling;
mod behind;
mod case;
#[path = "../common/mod.rs"]
mod common;
mod configuration;
mod healthy;
mod incidents;
mod jobs;
mod lifecycle;
mod named;
mod network;
mod nodes;
mod pods;
mod policy;
mod programs;
mod scheduling;
mod storage;
mod vertical;
