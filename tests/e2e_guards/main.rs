//! The guards, case by case, against the live API server with the installed chart: who may do what to an approval, an incident, a
//! sandbox pod and the operator's records; and what each identity may do at all.
//!
//! Each case is one request of one identity, which must be allowed, or refused with a message that says why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod approvals;
mod identities;
mod incidents;
mod moved_ground;
mod policies;
mod sandbox;
mod selfcheck;
mod wire;
