//! The closed set of reasons. The same word stands in the transition, the event, the condition, the metric and the log line.

use strum::{AsRefStr, Display, EnumIter};

/// Why the loop did, waits for, or gave up something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, Display, EnumIter)]
#[allow(
    missing_docs,
    reason = "the words are the documentation; docs/ gives each its remedy"
)]
pub enum Reason {
    // progress
    Accepted,
    Triaged,
    EvidenceRequested,
    EvidenceCollected,
    AgentReported,
    AgentFailed,
    ModelAnswered,
    ModelUnavailable,
    RootCauseFound,
    Healthy,
    Unexplained,
    PlanWritten,
    PlanRevised,
    ApprovalRequested,
    ApprovalGranted,
    ExecutionStarted,
    ExecutionFinished,
    VerificationStarted,
    VerificationContinues,
    VerificationPassed,
    VerificationFailed,
    RollbackStarted,
    RollbackFinished,
    // endings
    ApprovalRejected,
    ApprovalExpired,
    ApprovalMissing,
    CancelledByUser,
    IncidentDeleted,
    NoAutomaticAction,
    ReviewRejected,
    PolicyObserveOnly,
    PolicySuggestOnly,
    ExecutionRefused,
    ExecutionFailed,
    ExecutionUnknown,
    PhaseDeadlineExceeded,
    // trouble with the incident itself
    TargetNotFound,
    TargetKindUnknown,
    TargetForeignNamespace,
    // trouble with the sandbox
    SandboxImagePullFailed,
    SandboxQuotaExceeded,
    SandboxForbidden,
    SandboxJobLost,
    SandboxOutOfMemory,
    SandboxTimedOut,
    SandboxOutputInvalid,
    SandboxDegraded,
    SandboxFailed,
    // waits
    AwaitingDecision,
    AwaitingSandbox,
    AwaitingAudit,
    AwaitingSettling,
    AwaitingCapacity,
    ApprovalGuardBroken,
    PolicySuspended,
    OutboxFull,
    RecordLost,
}
