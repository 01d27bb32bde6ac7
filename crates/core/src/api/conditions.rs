//! Names of the condition types. Reasons stand with the code that sets them (`incident::conditions`).

/// Severity, category and route are known.
pub const TRIAGED: &str = "Triaged";
/// The agents have reported.
pub const INVESTIGATED: &str = "Investigated";
/// One root cause is named, or it is known that there is none to name.
pub const DIAGNOSED: &str = "Diagnosed";
/// A plan exists.
pub const PLANNED: &str = "Planned";
/// The plan is approved.
pub const APPROVED: &str = "Approved";
/// The plan was carried out.
pub const EXECUTED: &str = "Executed";
/// Fresh evidence shows that it helped.
pub const VERIFIED: &str = "Verified";
/// Every transition so far is stored outside the cluster.
pub const AUDIT_PERSISTED: &str = "AuditPersisted";
/// The admission policies that guard approvals are installed and unchanged.
pub const APPROVAL_GUARD: &str = "ApprovalGuard";
/// Present only where an agent asked a model: True when every consultation ended with an answer.
pub const MODEL_CONSULTED: &str = "ModelConsulted";
/// Present and True only when something keeps the incident from going on.
pub const STALLED: &str = "Stalled";
/// No alert that made this incident fires any more. Absent where no alert did.
pub const ALERT_RESOLVED: &str = "AlertResolved";
/// Present only where the alerts resolved and fired again: True while they do so often.
pub const FLAPPING: &str = "Flapping";
/// The summary: Unknown while active.
pub const SUCCEEDED: &str = "Succeeded";
