//! The three custom resources of the group `firewatch.dev/v1alpha1`, as Rust types from which the CRDs are generated.
//!
//! Nothing here is untyped, and every string and list is bounded: a CRD rule cannot see unknown fields, and an unbounded
//! field makes a rule too costly for the API server. Called by everything; calls nothing.

pub mod action;
pub mod approval;
pub mod common;
pub mod conditions;
pub mod definitions;
pub mod incident;
pub mod policy;
pub mod status;

pub use action::{ActionParameters, ActionTarget, ActionType, PlannedAction};
pub use approval::{ApprovalState, Claim, Confirmation, Decision, IncidentRef, PolicyRef, RemediationApproval};
pub use common::{Impact, ObjectName, Risk, Role, Severity};
pub use incident::{Alert, ApprovalMode, Incident, IncidentSpec, Target};
pub use policy::{PolicyMode, ResponsePolicy, ResponsePolicySpec};
pub use status::{IncidentStatus, Outcome, Phase};

/// The API group of all three kinds.
pub const GROUP: &str = "firewatch.dev";
/// The served and stored version of all three kinds.
pub const VERSION: &str = "v1alpha1";
