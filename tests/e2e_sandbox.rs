//! The sandbox in a real cluster: Jobs as the operator makes them, admitted by the chart's own guards, run by the real image. What the
//! guards forbid (a script of the test's own in place of the image's, another image, another command) runs in a namespace without them.
//! Needs KUBECONFIG and FIREWATCH_SANDBOX_IMAGE (`tests/cluster/env.sh`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "sandbox/arena.rs"]
mod arena;
#[path = "sandbox/confinement.rs"]
mod confinement;
#[path = "sandbox/guards.rs"]
mod guards;
#[path = "sandbox/lanes.rs"]
mod lanes;
#[path = "sandbox/outcomes.rs"]
mod outcomes;
