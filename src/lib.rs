//! Firewatch, the operator. This crate holds all its I/O; everything that decides lives in `firewatch_core`.
//!
//! # Map
//! - `incident`: the loop: observe, decide (in the core), perform one step, record it.
//! - `api_server`: the HTTP API: incidents are reported, read, followed and decided about.
//! - `intake`: webhooks from other machines become incidents.
//! - `model`: the way to a model; unused unless one is configured.
//! - `prometheus`: the way to a Prometheus, where one is configured: fixed queries, numbers back.
//! - `sandbox`: sandbox Jobs and what comes out of them.
//! - `approval`: the guards' self-check and the policies.
//! - `selfcheck`: what `helm test` asks of an installation.
//! - `store`: where the record goes: Postgres, or a file for a single user.
//! - `telemetry`: logs, metrics, health, events.
//! - `crds`: the custom resource definitions, generated from the core's types.
//!
//! # Invariants
//! `docs/architecture.md` lists them: no change without a verified approval, the operator cannot touch workloads, no transition is lost.

pub mod api_server;
pub mod approval;
pub mod config;
pub mod crds;
pub mod incident;
pub mod intake;
pub mod model;
pub mod notify;
pub mod prometheus;
pub mod run;
pub mod sandbox;
pub mod selfcheck;
pub mod store;
pub mod telemetry;
