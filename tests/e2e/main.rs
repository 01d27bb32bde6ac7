//! The whole system: the installed chart, real kubelet, real Jobs, real broken workloads. What a user does is done with kubectl.
//!
//! Needs a cluster with the chart installed (`make test-e2e` sees to it): KUBECONFIG, kubectl, and DATABASE_URL for the record.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod alerts;
mod catalogue;
mod decisions;
mod duplicate;
mod executor;
mod ground;
mod killed;
mod monitoring;
mod policy;
mod record;
mod recovery;
mod rollback;
mod scenarios;
mod tenancy;
mod world;
