//! The closed set of reasons. The same word stands in the transition, the event, the condition, the metric and the log line.

use strum::{AsRefStr, Display, EnumIter};

use crate::intake::gate::Hold;

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
    ApprovedByPolicy,
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
    PoliciesTied,
    ExecutionRefused,
    ExecutionFailed,
    ExecutionUnknown,
    PhaseDeadlineExceeded,
    AlertWithoutTarget,
    DuplicateSettled,
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
    AwaitingAlert,
    DuplicateInProgress,
    ResourceBusy,
    RecentlyRemediated,
    ConsecutiveFailures,
    IneffectiveChain,
    Flapping,
    ApprovalGuardBroken,
    PolicySuspended,
    OutboxFull,
    RecordLost,
}

impl From<Hold> for Reason {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::DuplicateInProgress => Self::DuplicateInProgress,
            Hold::ResourceBusy => Self::ResourceBusy,
            Hold::RecentlyRemediated => Self::RecentlyRemediated,
            Hold::ConsecutiveFailures => Self::ConsecutiveFailures,
            Hold::IneffectiveChain => Self::IneffectiveChain,
            Hold::Flapping => Self::Flapping,
            Hold::Suspended => Self::PolicySuspended,
        }
    }
}
