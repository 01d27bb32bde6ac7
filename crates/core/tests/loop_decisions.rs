//! The loop's decisions: a table over every phase and what may be seen in it, and random interleavings of everything that can
//! happen, which show that no path reaches Executing without a decision that was seen, that `sequence` neither skips nor
//! repeats, and that it always ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use firewatch_core::api::incident::IncidentSpec;
use firewatch_core::api::policy::PolicyMode;
use firewatch_core::api::status::{
    AgentState, AgentStatus, AlertsStatus, Blocked, Engine, Execution, ExecutionState, ExecutionStep, IncidentStatus,
    JobPurpose, JobRef, JobState, PlanStatus, Review, Verdict, Verification,
};
use firewatch_core::api::{
    ActionParameters, ActionTarget, ActionType, ApprovalState, Claim, Decision as Persons, Outcome, Phase,
    PlannedAction, PolicyRef, Risk, Role,
};
use firewatch_core::incident::observation::{ApprovalFacts, JobFacts, Observation, PolicyFacts, PolicyVerdict};
use firewatch_core::incident::{Decision, Reason, Step, Transition, decide, transition};
use firewatch_core::intake::gate::{Block, Gate, Hold};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn spec() -> IncidentSpec {
    serde_json::from_value(serde_json::json!({ "title": "t" })).unwrap()
}

fn policy() -> PolicyFacts {
    PolicyFacts {
        name: "built-in".into(),
        mode: PolicyMode::Remediate,
        suspended: false,
        tied: Vec::new(),
        require_audit: true,
    }
}

fn shop() -> PolicyRef {
    PolicyRef {
        name: "shop".into(),
        uid: "u".into(),
        generation: 1,
        digest: String::new(),
    }
}

fn action(rollback: bool) -> PlannedAction {
    PlannedAction {
        id: "A1".into(),
        action_type: ActionType::Scale,
        target: ActionTarget {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("n".into()),
            name: "d".into(),
            uid: "u".into(),
        },
        parameters: ActionParameters::default(),
        command: vec!["kubectl".into()],
        risk: Risk::Low,
        impact: String::new(),
        rollback: if rollback { vec!["kubectl".into()] } else { Vec::new() },
        diff: None,
        evidence: Vec::new(),
    }
}

fn plan(actions: Vec<PlannedAction>) -> PlanStatus {
    PlanStatus {
        revision: 1,
        digest: String::new(),
        risk: Risk::Low,
        summary: "s".into(),
        actions,
        long_term_fixes: Vec::new(),
        manual_reason: None,
        estimated_resolution_seconds: 60,
        expires_at: None,
    }
}

fn agent(role: Role, state: AgentState) -> AgentStatus {
    AgentStatus {
        role,
        engine: Engine::Rules,
        state,
        started_at: None,
        finished_at: None,
        evidence: 0,
        turns: 0,
        tokens: 0,
        cost_usd: None,
        message: None,
    }
}

fn job(purpose: JobPurpose, state: JobState) -> JobRef {
    JobRef {
        name: format!("fw-{purpose}"),
        purpose,
        agent: Role::SreInvestigator,
        state,
        round: 1,
    }
}

fn execution(state: ExecutionState) -> Execution {
    let step = ExecutionStep {
        action: "A1".into(),
        command: Vec::new(),
        exit_code: Some(0),
        duration_ms: 1,
        result: None,
        evidence: None,
    };
    Execution {
        state,
        started_at: None,
        finished_at: None,
        message: None,
        steps: vec![step],
    }
}

fn approval(decision: Persons, complete: bool, claim: bool) -> ApprovalFacts {
    ApprovalFacts::Found {
        decision,
        complete,
        by_policy: false,
        approver: Some("alice".into()),
        reason: None,
        expires_at: at(900),
        claim: claim.then(|| Claim {
            pod_uid: "p".into(),
            pod_name: None,
            nonce: "0".repeat(32),
            at: None,
        }),
    }
}

/// One row: what is seen, and what must be decided. Everything not named is as in a quiet, healthy world.
struct Case {
    name: &'static str,
    spec: IncidentSpec,
    status: IncidentStatus,
    policy: PolicyFacts,
    guard: bool,
    jobs: BTreeMap<String, JobFacts>,
    approval: ApprovalFacts,
    by_policy: PolicyVerdict,
    stored: bool,
    capacity: bool,
    deleting: Option<Timestamp>,
    storing: Option<Timestamp>,
    now: Timestamp,
    gate: Gate,
    untargeted: Option<String>,
}

impl Case {
    fn new(name: &'static str, phase: Phase) -> Self {
        let status = IncidentStatus {
            phase,
            phase_started_at: Some(Time(at(0))),
            ..IncidentStatus::default()
        };
        Self {
            name,
            spec: spec(),
            status,
            policy: policy(),
            guard: true,
            jobs: BTreeMap::new(),
            approval: ApprovalFacts::None,
            by_policy: PolicyVerdict::NotAsked,
            stored: true,
            capacity: true,
            deleting: None,
            storing: None,
            now: at(1),
            gate: Gate::Open,
            untargeted: None,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn decide(&self) -> Decision {
        decide(&Observation {
            now: self.now,
            spec: &self.spec,
            status: &self.status,
            deleting_since: self.deleting,
            storing_since: self.storing,
            policy: self.policy.clone(),
            guard_intact: self.guard,
            jobs: self.jobs.clone(),
            approval: self.approval.clone(),
            by_policy: self.by_policy.clone(),
            approval_stored: self.stored,
            has_capacity: self.capacity,
            gate: self.gate.clone(),
            untargeted: self.untargeted.clone(),
        })
    }

    #[track_caller]
    fn performs(self, step: &Step) {
        match self.decide() {
            Decision::Perform(got) => assert_eq!(
                std::mem::discriminant(&got),
                std::mem::discriminant(step),
                "{}: {got:?}",
                self.name
            ),
            other => panic!("{}: {other:?}", self.name),
        }
    }

    #[track_caller]
    fn waits(self, reason: Reason) {
        match self.decide() {
            Decision::Wait { reason: got, recheck } => {
                assert_eq!(got, reason, "{}", self.name);
                assert!(recheck > SignedDuration::ZERO, "{}", self.name);
            }
            other => panic!("{}: {other:?}", self.name),
        }
    }

    #[track_caller]
    fn ends(self, outcome: Outcome, reason: Reason) {
        match self.decide() {
            Decision::Finish {
                outcome: got,
                reason: why,
                ..
            } => assert_eq!((got, why), (outcome, reason), "{}", self.name),
            other => panic!("{}: {other:?}", self.name),
        }
    }
}

fn awaiting(decision: Persons, complete: bool) -> Case {
    Case::new("awaiting approval", Phase::AwaitingApproval).with(|c| c.approval = approval(decision, complete, false))
}

fn executing(facts: JobFacts) -> Case {
    Case::new("executing", Phase::Executing).with(|c| {
        c.status.jobs = vec![job(JobPurpose::Execution, JobState::Running)];
        c.jobs.insert("fw-Execution".into(), facts);
        c.approval = approval(Persons::Approved, true, true);
    })
}

fn verifying() -> Case {
    Case::new("verifying", Phase::Verifying).with(|c| {
        c.status.plan = Some(plan(vec![action(true)]));
        c.status.execution = Some(execution(ExecutionState::Succeeded));
    })
}

#[test]
fn a_new_incident_is_taken_up_when_there_is_room() {
    Case::new("room", Phase::Pending).performs(&Step::Accept);
    Case::new("no room", Phase::Pending)
        .with(|c| c.capacity = false)
        .waits(Reason::AwaitingCapacity);
    Case::new("blocked", Phase::Blocked).performs(&Step::Accept);
}

#[test]
fn what_another_incident_keeps_from_beginning_is_noted_once_and_then_waits() {
    let block = |hold: Hold| Block {
        hold,
        until: Some(at(20)),
        by: Some("n/other".into()),
    };
    for hold in [
        Hold::DuplicateInProgress,
        Hold::RecentlyRemediated,
        Hold::ConsecutiveFailures,
    ] {
        let held = |phase| Case::new("held", phase).with(|c| c.gate = Gate::Held(block(hold)));
        held(Phase::Pending).performs(&Step::Hold(block(hold)));
        let noted = |c: &mut Case| {
            c.status.blocked = Some(Blocked {
                reason: hold.to_string(),
                until: None,
                by: Some("n/other".into()),
            });
        };
        held(Phase::Blocked).with(noted).waits(hold.into());
        held(Phase::Blocked)
            .with(noted)
            .with(|c| {
                c.gate = Gate::Held(Block {
                    by: None,
                    ..block(hold)
                });
            })
            .performs(&Step::Hold(block(hold)));
        held(Phase::Blocked)
            .with(noted)
            .with(|c| c.gate = Gate::Open)
            .performs(&Step::Accept);
    }
    Case::new("settled", Phase::Blocked)
        .with(|c| c.gate = Gate::Settled { by: "n/other".into() })
        .ends(Outcome::Duplicate, Reason::DuplicateSettled);
}

#[test]
fn what_waits_long_looks_seldom_and_never_sleeps_past_the_time_it_was_told() {
    let recheck = |second: i64, until: Option<Timestamp>| {
        let block = Block {
            hold: Hold::DuplicateInProgress,
            until,
            by: None,
        };
        let case = Case::new("held", Phase::Blocked).with(|c| {
            c.now = at(second);
            c.gate = Gate::Held(block);
            c.status.blocked = Some(Blocked {
                reason: Hold::DuplicateInProgress.to_string(),
                until: None,
                by: None,
            });
        });
        match case.decide() {
            Decision::Wait { recheck, .. } => recheck.as_secs(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([0, 20, 4000].map(|second| recheck(second, None)), [3, 5, 30]);
    assert_eq!(recheck(4000, Some(at(4007))), 7);
    assert_eq!(recheck(4000, Some(at(9000))), 30);
}

#[test]
fn an_alert_that_names_nothing_calls_a_person_at_once() {
    Case::new("untargeted", Phase::Pending)
        .with(|c| c.untargeted = Some("no label names an object".into()))
        .ends(Outcome::Escalated, Reason::AlertWithoutTarget);
}

#[test]
fn a_repair_that_helped_waits_a_while_for_its_alert_and_is_never_taken_back_for_it() {
    let verified = |firing: i64, second: i64| {
        Case::new("verified", Phase::Verifying).with(|c| {
            c.status.verification = Some(Verification {
                passed: true,
                rolled_back: None,
                checks: Vec::new(),
            });
            c.status.alerts = Some(AlertsStatus {
                firing,
                resolved_at: (firing == 0).then(|| Time(at(1))),
                acknowledged_at: None,
                last_received_at: Time(at(1)),
                seen: Vec::new(),
                refired: Vec::new(),
            });
            c.now = at(second);
        })
    };
    verified(1, 30).waits(Reason::AwaitingAlert);
    verified(0, 30).ends(Outcome::Remediated, Reason::VerificationPassed);
    verified(1, 121).ends(Outcome::Remediated, Reason::VerificationPassed);
    verified(1, 4000).ends(Outcome::Remediated, Reason::VerificationPassed);
}

#[test]
fn triage_comes_first() {
    Case::new("triage", Phase::Triaging).performs(&Step::Triage);
}

#[test]
fn agents_work_in_parallel_and_each_has_one_job_at_a_time() {
    let both = |c: &mut Case| {
        c.status.agents = vec![
            agent(Role::SreInvestigator, AgentState::Running),
            agent(Role::CodeAnalyst, AgentState::Running),
        ];
    };
    Case::new("nobody has asked", Phase::Investigating)
        .with(both)
        .performs(&Step::Advance(Role::SreInvestigator));
    let first_waits = Case::new("the first waits", Phase::Investigating).with(both).with(|c| {
        c.status.jobs = vec![job(JobPurpose::Evidence, JobState::Running)];
        c.jobs.insert("fw-Evidence".into(), JobFacts::Running);
    });
    match first_waits.decide() {
        Decision::Perform(Step::Advance(Role::CodeAnalyst)) => {}
        other => panic!("the second agent must go on: {other:?}"),
    }
}

#[test]
fn a_job_that_ended_is_read_and_one_that_failed_is_noted() {
    let with = |facts: JobFacts| {
        Case::new("job", Phase::Investigating).with(|c| {
            c.status.agents = vec![agent(Role::SreInvestigator, AgentState::Running)];
            c.status.jobs = vec![job(JobPurpose::Evidence, JobState::Running)];
            c.jobs.insert("fw-Evidence".into(), facts);
        })
    };
    let reference = job(JobPurpose::Evidence, JobState::Running);
    let noted = Step::NoteFailure {
        job: reference.clone(),
        reason: Reason::SandboxFailed,
        message: String::new(),
    };
    with(JobFacts::Running).waits(Reason::AwaitingSandbox);
    with(JobFacts::Ended).performs(&Step::Collect(reference));
    with(JobFacts::Missing).performs(&noted);
    with(JobFacts::Failed {
        reason: Reason::SandboxImagePullFailed,
        message: "no such image".into(),
    })
    .performs(&noted);
}

#[test]
fn an_agent_whose_jobs_keep_failing_gives_up_and_the_diagnosis_goes_on() {
    Case::new("two failures", Phase::Investigating)
        .with(|c| {
            c.status.agents = vec![agent(Role::SreInvestigator, AgentState::Running)];
            c.status.jobs = vec![
                job(JobPurpose::Evidence, JobState::Failed),
                job(JobPurpose::Evidence, JobState::Failed),
            ];
        })
        .performs(&Step::GiveUp {
            role: Role::SreInvestigator,
            reason: Reason::SandboxFailed,
        });
    Case::new("all have ended", Phase::Investigating)
        .with(|c| c.status.agents = vec![agent(Role::SreInvestigator, AgentState::Failed)])
        .performs(&Step::Diagnose);
}

#[test]
fn a_policy_that_only_observes_gets_no_plan_and_one_that_suggests_gets_no_approval() {
    Case::new("plan", Phase::Planning).performs(&Step::Plan);
    Case::new("observe", Phase::Planning)
        .with(|c| c.policy.mode = PolicyMode::Observe)
        .ends(Outcome::Escalated, Reason::PolicyObserveOnly);
    let reviewed = |verdict| Review {
        verdict,
        reasons: vec!["r".into()],
        conditions: Vec::new(),
        concerns: Vec::new(),
    };
    Case::new("suggest", Phase::Reviewing)
        .with(|c| {
            c.policy.mode = PolicyMode::Suggest;
            c.status.plan = Some(plan(vec![action(true)]));
            c.status.review = Some(reviewed(Verdict::Approve));
        })
        .ends(Outcome::Escalated, Reason::PolicySuggestOnly);
    Case::new("rejected by the Commander", Phase::Reviewing)
        .with(|c| {
            c.status.plan = Some(plan(vec![action(true)]));
            c.status.review = Some(reviewed(Verdict::Reject));
        })
        .ends(Outcome::Escalated, Reason::ReviewRejected);
    Case::new("nothing to do", Phase::Reviewing)
        .with(|c| c.status.plan = Some(plan(Vec::new())))
        .ends(Outcome::Escalated, Reason::NoAutomaticAction);
}

#[test]
fn a_decision_is_waited_for_until_it_expires() {
    awaiting(Persons::Pending, false).waits(Reason::AwaitingDecision);
    awaiting(Persons::Pending, false)
        .with(|c| c.now = at(901))
        .ends(Outcome::Expired, Reason::ApprovalExpired);
    awaiting(Persons::Approved, true)
        .with(|c| c.now = at(901))
        .ends(Outcome::Expired, Reason::ApprovalExpired);
    awaiting(Persons::Rejected, false).ends(Outcome::Rejected, Reason::ApprovalRejected);
    awaiting(Persons::Approved, false).waits(Reason::AwaitingDecision);
    awaiting(Persons::Approved, true)
        .with(|c| c.approval = ApprovalFacts::Missing)
        .ends(Outcome::Escalated, Reason::ApprovalMissing);
}

#[test]
fn an_approved_plan_is_executed_only_when_guards_stand_no_policy_is_suspended_and_the_approval_is_stored() {
    awaiting(Persons::Approved, true).performs(&Step::Execute);
    awaiting(Persons::Approved, true)
        .with(|c| c.guard = false)
        .waits(Reason::ApprovalGuardBroken);
    awaiting(Persons::Approved, true)
        .with(|c| c.policy.suspended = true)
        .waits(Reason::PolicySuspended);
    awaiting(Persons::Approved, true)
        .with(|c| c.stored = false)
        .waits(Reason::AwaitingAudit);
    awaiting(Persons::Approved, true)
        .with(|c| {
            c.stored = false;
            c.policy.require_audit = false;
        })
        .performs(&Step::Execute);
}

#[test]
fn a_policy_approves_only_what_waits_while_guards_stand_and_it_is_clear_which_policy_holds() {
    type Change = fn(&mut Case);
    let asked = || awaiting(Persons::Pending, false).with(|c| c.by_policy = PolicyVerdict::Approves(shop()));
    asked().performs(&Step::ApproveByPolicy(None));
    let changes: [Change; 4] = [
        |c| c.guard = false,
        |c| c.policy.suspended = true,
        |c| c.policy.tied = vec!["a".into(), "b".into()],
        |c| c.by_policy = PolicyVerdict::Refuses("no".into()),
    ];
    for change in changes {
        asked().with(change).waits(Reason::AwaitingDecision);
    }
    asked()
        .with(|c| c.now = at(901))
        .ends(Outcome::Expired, Reason::ApprovalExpired);
    asked()
        .with(|c| c.spec.cancelled = true)
        .ends(Outcome::Cancelled, Reason::CancelledByUser);
    asked()
        .with(|c| c.spec.revision_feedback = Some("no".into()))
        .performs(&Step::Revise);
    // A person was faster.
    awaiting(Persons::Approved, true)
        .with(|c| c.by_policy = PolicyVerdict::Approves(shop()))
        .performs(&Step::Execute);
    // The decision was made and its record was not: that comes before anything is executed.
    let made = |state| {
        awaiting(Persons::Approved, true).with(move |c| {
            c.status.approval_state = Some(state);
            if let ApprovalFacts::Found { by_policy, .. } = &mut c.approval {
                *by_policy = true;
            }
        })
    };
    made(ApprovalState::Pending).performs(&Step::ApproveByPolicy(None));
    made(ApprovalState::Approved).performs(&Step::Execute);
}

#[test]
fn policies_of_the_same_priority_end_a_plan_or_hold_what_was_approved() {
    let tie = |c: &mut Case| c.policy.tied = vec!["a".into(), "b".into()];
    Case::new("reviewed", Phase::Reviewing)
        .with(|c| {
            c.policy.mode = PolicyMode::Suggest;
            c.status.plan = Some(plan(vec![action(true)]));
            c.status.review = Some(Review {
                verdict: Verdict::Approve,
                reasons: Vec::new(),
                conditions: Vec::new(),
                concerns: Vec::new(),
            });
        })
        .with(tie)
        .ends(Outcome::Escalated, Reason::PoliciesTied);
    Case::new("observes", Phase::Planning)
        .with(|c| c.policy.mode = PolicyMode::Observe)
        .with(tie)
        .ends(Outcome::Escalated, Reason::PoliciesTied);
    awaiting(Persons::Approved, true).with(tie).waits(Reason::PoliciesTied);
}

#[test]
fn feedback_makes_another_plan_unless_the_present_one_was_taken() {
    let ask = |c: &mut Case| c.spec.revision_feedback = Some("not at noon".into());
    awaiting(Persons::Pending, false).with(ask).performs(&Step::Revise);
    awaiting(Persons::Approved, true).with(ask).performs(&Step::Revise);
    awaiting(Persons::Pending, false)
        .with(ask)
        .with(|c| c.status.observed_feedback = Some("not at noon".into()))
        .waits(Reason::AwaitingDecision);
}

#[test]
fn what_the_executor_left_is_read_whatever_it_is() {
    let reference = job(JobPurpose::Execution, JobState::Running);
    executing(JobFacts::Running).waits(Reason::AwaitingSandbox);
    for facts in [
        JobFacts::Ended,
        JobFacts::Missing,
        JobFacts::Failed {
            reason: Reason::SandboxFailed,
            message: String::new(),
        },
    ] {
        executing(facts.clone()).performs(&Step::CollectExecution(reference.clone(), facts));
    }
}

#[test]
fn an_execution_that_left_no_result_is_never_run_again_and_a_person_is_called() {
    let after = |state: ExecutionState| {
        Case::new("after", Phase::Executing).with(|c| {
            c.status.jobs = vec![job(JobPurpose::Execution, JobState::Collected)];
            c.status.plan = Some(plan(vec![action(true)]));
            c.status.execution = Some(execution(state));
        })
    };
    after(ExecutionState::Unknown).ends(Outcome::Escalated, Reason::ExecutionUnknown);
    after(ExecutionState::Refused).ends(Outcome::Escalated, Reason::ExecutionRefused);
    after(ExecutionState::Failed).performs(&Step::RollBack);
    after(ExecutionState::Failed)
        .with(|c| c.status.plan = Some(plan(vec![action(false)])))
        .ends(Outcome::RemediationFailed, Reason::ExecutionFailed);
}

#[test]
fn a_change_settles_before_it_is_judged_and_a_judgement_ends_it() {
    verifying().waits(Reason::AwaitingSettling);
    verifying().with(|c| c.now = at(30)).performs(&Step::AskVerification);
    verifying()
        .with(|c| {
            c.status.verification = Some(Verification {
                passed: true,
                ..Verification::default()
            });
        })
        .ends(Outcome::Remediated, Reason::VerificationPassed);
}

#[test]
fn a_plan_that_did_not_help_in_time_is_rolled_back_once() {
    verifying().with(|c| c.now = at(1000)).performs(&Step::RollBack);
    verifying()
        .with(|c| {
            c.now = at(1000);
            c.status.plan = Some(plan(vec![action(false)]));
        })
        .ends(Outcome::RemediationFailed, Reason::VerificationFailed);
}

#[test]
fn what_needs_longer_to_help_is_not_taken_back_too_soon() {
    let suspended = |seconds| {
        verifying().with(|c| {
            c.now = at(seconds);
            let mut suspend = action(true);
            suspend.action_type = ActionType::SuspendCronJob;
            c.status.plan = Some(plan(vec![suspend]));
        })
    };
    suspended(1000).performs(&Step::AskVerification);
    suspended(1300).performs(&Step::RollBack);
}

fn rolled_back(state: ExecutionState) -> Case {
    Case::new("rolling back", Phase::RollingBack).with(|c| {
        c.status.plan = Some(plan(vec![action(true)]));
        c.status.rollback = Some(execution(state));
        c.status.jobs = vec![job(JobPurpose::Rollback, JobState::Collected)];
    })
}

#[test]
fn a_rollback_is_verified_too_and_the_outcome_says_so() {
    rolled_back(ExecutionState::Succeeded)
        .with(|c| c.now = at(30))
        .performs(&Step::AskVerification);
    rolled_back(ExecutionState::Failed).ends(Outcome::RemediationFailed, Reason::RollbackFinished);
    rolled_back(ExecutionState::Succeeded)
        .with(|c| {
            c.status.verification = Some(Verification {
                rolled_back: Some(true),
                ..Verification::default()
            });
        })
        .ends(Outcome::RolledBack, Reason::RollbackFinished);
}

#[test]
fn cancelling_ends_every_phase_but_lets_a_claimed_execution_tell_its_result() {
    for phase in [
        Phase::Pending,
        Phase::Triaging,
        Phase::Investigating,
        Phase::Diagnosing,
        Phase::Planning,
        Phase::Reviewing,
        Phase::AwaitingApproval,
        Phase::Verifying,
    ] {
        Case::new("cancelled", phase)
            .with(|c| c.spec.cancelled = true)
            .ends(Outcome::Cancelled, Reason::CancelledByUser);
        Case::new("deleted", phase)
            .with(|c| c.deleting = Some(at(0)))
            .ends(Outcome::Cancelled, Reason::IncidentDeleted);
    }
    executing(JobFacts::Running)
        .with(|c| c.spec.cancelled = true)
        .waits(Reason::AwaitingSandbox);
    executing(JobFacts::Running)
        .with(|c| {
            c.spec.cancelled = true;
            c.approval = approval(Persons::Approved, true, false);
        })
        .ends(Outcome::Cancelled, Reason::CancelledByUser);
}

#[test]
fn every_phase_that_is_ours_has_a_deadline() {
    for phase in [Phase::Triaging, Phase::Diagnosing, Phase::Planning, Phase::Reviewing] {
        Case::new("overdue", phase)
            .with(|c| c.now = at(100_000))
            .ends(Outcome::Escalated, Reason::PhaseDeadlineExceeded);
    }
    Case::new("an agent that never ends", Phase::Investigating)
        .with(|c| {
            c.now = at(100_000);
            c.status.agents = vec![agent(Role::CodeAnalyst, AgentState::Running)];
        })
        .performs(&Step::GiveUp {
            role: Role::CodeAnalyst,
            reason: Reason::PhaseDeadlineExceeded,
        });
    executing(JobFacts::Running)
        .with(|c| c.now = at(100_000))
        .performs(&Step::CollectExecution(
            job(JobPurpose::Execution, JobState::Running),
            JobFacts::Missing,
        ));
}

#[test]
fn a_full_outbox_holds_the_incident_and_a_stored_one_lets_a_deleted_incident_go() {
    let full = |c: &mut Case| {
        for _ in 0..200 {
            let entry = Transition {
                to: c.status.phase,
                outcome: None,
                reason: Reason::Accepted,
                actor: String::new(),
                message: String::new(),
                payload: None,
            };
            transition::apply(&mut c.status, "u", &entry, at(0));
        }
    };
    Case::new("full", Phase::Investigating)
        .with(full)
        .waits(Reason::OutboxFull);
    let over = || Case::new("over", Phase::Completed);
    assert_eq!(over().decide(), Decision::Rest);
    over().with(full).waits(Reason::AwaitingAudit);
    over()
        .with(|c| c.deleting = Some(at(0)))
        .performs(&Step::Release { stored: true });
    over()
        .with(full)
        .with(|c| c.deleting = Some(at(0)))
        .waits(Reason::AwaitingAudit);
    over()
        .with(full)
        .with(|c| {
            c.deleting = Some(at(0));
            c.storing = Some(at(0));
            c.now = at(10_000);
        })
        .performs(&Step::Release { stored: false });
}

#[test]
fn an_incident_that_was_deleted_while_no_operator_ran_is_held_from_the_first_try_to_store_it() {
    let found_late = |tried: Option<i64>| {
        Case::new("found late", Phase::Completed).with(|c| {
            let entry = Transition {
                to: Phase::Completed,
                outcome: Some(Outcome::Cancelled),
                reason: Reason::IncidentDeleted,
                actor: String::new(),
                message: String::new(),
                payload: None,
            };
            transition::apply(&mut c.status, "u", &entry, at(0));
            c.deleting = Some(at(0));
            c.storing = tried.map(at);
            c.now = at(100_000);
        })
    };
    found_late(None).waits(Reason::AwaitingAudit);
    found_late(Some(99_990)).waits(Reason::AwaitingAudit);
    found_late(Some(90_000)).performs(&Step::Release { stored: false });
}

/// Something that may happen in the world between two looks.
#[derive(Clone, Debug)]
enum Happening {
    Time(i64),
    JobEnds,
    JobFails,
    JobVanishes,
    Approves,
    Rejects,
    ApprovalVanishes,
    PodClaims,
    Cancel,
    Delete,
    Feedback(u8),
    Guard(bool),
    Suspend(bool),
    PolicyApproves(bool),
    Stored(bool),
    Passes(bool),
    AgentReports(bool),
    Nothing,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0_i64..120).prop_map(Happening::Time),
        6 => Just(Happening::JobEnds),
        1 => Just(Happening::JobFails),
        1 => Just(Happening::JobVanishes),
        3 => Just(Happening::Approves),
        1 => Just(Happening::Rejects),
        1 => Just(Happening::ApprovalVanishes),
        2 => Just(Happening::PodClaims),
        1 => Just(Happening::Cancel),
        1 => Just(Happening::Delete),
        1 => any::<u8>().prop_map(Happening::Feedback),
        2 => any::<bool>().prop_map(Happening::Guard),
        1 => any::<bool>().prop_map(Happening::Suspend),
        1 => any::<bool>().prop_map(Happening::PolicyApproves),
        3 => any::<bool>().prop_map(Happening::Stored),
        2 => any::<bool>().prop_map(Happening::Passes),
        3 => any::<bool>().prop_map(Happening::AgentReports),
        2 => Just(Happening::Nothing),
    ]
}

/// A world in which steps are done by the book, and in which anything may happen between them.
struct World {
    case: Case,
    rounds: i64,
    passes: bool,
    reports: bool,
    executions: usize,
    was_decided: bool,
    sequences: Vec<i64>,
}

impl World {
    fn record(&mut self, to: Phase, outcome: Option<Outcome>) {
        let entry = Transition {
            to,
            outcome,
            reason: Reason::Accepted,
            actor: "t".into(),
            message: String::new(),
            payload: None,
        };
        transition::apply(&mut self.case.status, "u", &entry, self.case.now);
        self.sequences.push(self.case.status.sequence);
        // Stored at once, now and then not.
        if self.case.stored {
            let last = self.case.status.sequence;
            transition::prune(&mut self.case.status, last);
        }
    }

    fn push_job(&mut self, purpose: JobPurpose, agent: Role) {
        self.rounds += 1;
        let name = format!("fw-{}", self.rounds);
        self.case.jobs.insert(name.clone(), JobFacts::Running);
        self.case.status.jobs.push(JobRef {
            name,
            purpose,
            agent,
            state: JobState::Running,
            round: self.rounds,
        });
    }

    fn settle(&mut self, job: &JobRef, state: JobState) {
        for known in self.case.status.jobs.iter_mut().filter(|j| j.name == job.name) {
            known.state = state;
        }
    }

    fn happen(&mut self, what: &Happening) {
        let approve = |facts: &mut ApprovalFacts, to: Persons| {
            if let ApprovalFacts::Found { decision, complete, .. } = facts
                && *decision == Persons::Pending
            {
                *decision = to;
                *complete = to == Persons::Approved;
            }
        };
        match what {
            Happening::Time(seconds) => {
                self.case.now = self.case.now.checked_add(SignedDuration::from_secs(*seconds)).unwrap();
            }
            Happening::JobEnds => self.case.jobs.values_mut().for_each(|j| *j = JobFacts::Ended),
            Happening::JobFails => {
                self.case.jobs.values_mut().for_each(|j| {
                    *j = JobFacts::Failed {
                        reason: Reason::SandboxFailed,
                        message: String::new(),
                    }
                });
            }
            Happening::JobVanishes => self.case.jobs.values_mut().for_each(|j| *j = JobFacts::Missing),
            Happening::Approves => approve(&mut self.case.approval, Persons::Approved),
            Happening::Rejects => approve(&mut self.case.approval, Persons::Rejected),
            Happening::ApprovalVanishes => {
                if !matches!(self.case.approval, ApprovalFacts::None) {
                    self.case.approval = ApprovalFacts::Missing;
                }
            }
            Happening::PodClaims => {
                if self.case.status.phase == Phase::Executing
                    && let ApprovalFacts::Found {
                        claim, complete: true, ..
                    } = &mut self.case.approval
                {
                    *claim = Some(Claim {
                        pod_uid: "p".into(),
                        pod_name: None,
                        nonce: "0".repeat(32),
                        at: None,
                    });
                }
            }
            Happening::Cancel => self.case.spec.cancelled = true,
            Happening::Delete => {
                self.case.deleting = self.case.deleting.or(Some(self.case.now));
                self.case.storing = self.case.storing.or(self.case.deleting);
            }
            Happening::Feedback(n) => self.case.spec.revision_feedback = Some(format!("feedback {n}")),
            Happening::Guard(intact) => self.case.guard = *intact,
            Happening::Suspend(suspended) => self.case.policy.suspended = *suspended,
            Happening::PolicyApproves(true) => self.case.by_policy = PolicyVerdict::Approves(shop()),
            Happening::PolicyApproves(false) => self.case.by_policy = PolicyVerdict::Refuses("no".into()),
            Happening::Stored(stored) => {
                self.case.stored = *stored;
                if *stored {
                    let last = self.case.status.sequence;
                    transition::prune(&mut self.case.status, last);
                }
            }
            Happening::Passes(passes) => self.passes = *passes,
            Happening::AgentReports(reports) => self.reports = *reports,
            Happening::Nothing => {}
        }
        self.was_decided = matches!(
            &self.case.approval,
            ApprovalFacts::Found {
                decision: Persons::Approved,
                complete: true,
                ..
            }
        );
    }

    /// One look and one step. Returns false when there is nothing more to do.
    fn step(&mut self) -> bool {
        let before = self.case.status.phase;
        match self.case.decide() {
            Decision::Rest => return false,
            Decision::Wait { .. } => {}
            Decision::Finish { outcome, .. } => self.record(Phase::Completed, Some(outcome)),
            Decision::Perform(step) => match step {
                Step::Accept => self.record(Phase::Triaging, None),
                Step::Hold(_) => self.record(Phase::Blocked, None),
                Step::Triage => {
                    self.case.status.agents = vec![
                        agent(Role::SreInvestigator, AgentState::Running),
                        agent(Role::CodeAnalyst, AgentState::Running),
                    ];
                    self.record(Phase::Investigating, None);
                }
                Step::Advance(role) => {
                    let asked = self.case.status.jobs.iter().filter(|j| j.agent == role).count();
                    if self.reports || asked >= 4 {
                        self.case
                            .status
                            .agents
                            .iter_mut()
                            .filter(|a| a.role == role)
                            .for_each(|a| a.state = AgentState::Succeeded);
                    } else {
                        self.push_job(JobPurpose::Evidence, role);
                    }
                    self.record(Phase::Investigating, None);
                }
                Step::Collect(job) => {
                    self.settle(&job, JobState::Collected);
                    self.record(before, None);
                }
                Step::NoteFailure { job, .. } => {
                    self.settle(&job, JobState::Failed);
                    self.case.status.verified_at = Some(Time(self.case.now));
                    self.record(before, None);
                }
                Step::GiveUp { role, .. } => {
                    self.case
                        .status
                        .agents
                        .iter_mut()
                        .filter(|a| a.role == role)
                        .for_each(|a| a.state = AgentState::Failed);
                    self.record(before, None);
                }
                Step::Diagnose => self.record(Phase::Planning, None),
                Step::Plan => {
                    self.case.status.plan = Some(plan(vec![action(true)]));
                    self.case.status.review = None;
                    self.case.status.observed_feedback = self.case.spec.revision_feedback.clone();
                    self.record(Phase::Reviewing, None);
                }
                Step::Review => {
                    self.case.status.review = Some(Review {
                        verdict: Verdict::Approve,
                        reasons: Vec::new(),
                        conditions: Vec::new(),
                        concerns: Vec::new(),
                    });
                    let expires_at = self.case.now.checked_add(SignedDuration::from_secs(900)).unwrap();
                    self.case.approval = ApprovalFacts::Found {
                        decision: Persons::Pending,
                        complete: false,
                        by_policy: false,
                        approver: None,
                        reason: None,
                        expires_at,
                        claim: None,
                    };
                    self.case.status.approval_state = Some(ApprovalState::Pending);
                    self.record(Phase::AwaitingApproval, None);
                }
                Step::ApproveByPolicy(policy) => {
                    assert!(matches!(self.case.by_policy, PolicyVerdict::Approves(_)) || policy.is_none());
                    assert!(self.case.guard && !self.case.policy.suspended || policy.is_none());
                    if let ApprovalFacts::Found {
                        decision,
                        complete,
                        by_policy,
                        ..
                    } = &mut self.case.approval
                    {
                        assert!(policy.is_some() == (*decision == Persons::Pending));
                        (*decision, *complete, *by_policy) = (Persons::Approved, true, true);
                    }
                    // Cut off between the decision and its record, every other time.
                    if policy.is_none() || self.rounds % 2 == 0 {
                        self.case.status.approval_state = Some(ApprovalState::Approved);
                        self.record(Phase::AwaitingApproval, None);
                    }
                }
                Step::Revise => {
                    self.case.approval = ApprovalFacts::None;
                    self.record(Phase::Planning, None);
                }
                Step::Execute => {
                    assert!(self.was_decided, "a plan is executed that nobody approved");
                    assert!(
                        self.case.guard && !self.case.policy.suspended && self.case.stored && !self.case.spec.cancelled
                    );
                    assert_eq!(before, Phase::AwaitingApproval);
                    self.executions += 1;
                    self.push_job(JobPurpose::Execution, Role::RemediationPlanner);
                    self.record(Phase::Executing, None);
                }
                Step::RollBack => {
                    assert!(self.case.status.rollback.is_none(), "a rollback runs twice");
                    self.push_job(JobPurpose::Rollback, Role::RemediationPlanner);
                    self.case.status.rollback = Some(execution(ExecutionState::Running));
                    self.case.status.verified_at = None;
                    self.record(Phase::RollingBack, None);
                }
                Step::CollectExecution(job, facts) => {
                    self.settle(&job, JobState::Collected);
                    let state = match facts {
                        JobFacts::Ended => ExecutionState::Succeeded,
                        _ => ExecutionState::Unknown,
                    };
                    if job.purpose == JobPurpose::Rollback {
                        self.case.status.rollback = Some(execution(state));
                        self.record(before, None);
                    } else {
                        self.case.status.execution = Some(execution(state));
                        self.record(
                            if state == ExecutionState::Succeeded {
                                Phase::Verifying
                            } else {
                                before
                            },
                            None,
                        );
                    }
                }
                Step::AskVerification => {
                    let purpose = if self.case.status.rollback.is_some() {
                        JobPurpose::RollbackVerification
                    } else {
                        JobPurpose::Verification
                    };
                    self.push_job(purpose, Role::SreInvestigator);
                    self.record(before, None);
                }
                Step::CollectVerification(job) => {
                    self.settle(&job, JobState::Collected);
                    self.case.status.verified_at = Some(Time(self.case.now));
                    let back = self.case.status.rollback.is_some();
                    self.case.status.verification = Some(Verification {
                        passed: self.passes && !back,
                        rolled_back: back.then_some(self.passes),
                        checks: Vec::new(),
                    });
                    self.record(before, None);
                }
                Step::Release { .. } => return false,
            },
        }
        if before != Phase::Executing && self.case.status.phase == Phase::Executing {
            assert_eq!(before, Phase::AwaitingApproval, "Executing was reached from {before}");
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_happens_nothing_is_executed_unapproved_and_no_transition_is_skipped(happenings in prop::collection::vec(happening(), 0..120)) {
        let mut world = World {
            case: Case::new("world", Phase::Pending),
            rounds: 0, passes: false, reports: false, executions: 0, was_decided: false, sequences: Vec::new(),
        };
        for what in &happenings {
            world.happen(what);
            world.step();
        }
        // From here the world only lets time pass: it must end.
        for _ in 0..600 {
            world.happen(&Happening::Time(40));
            world.happen(&Happening::Stored(true));
            if !world.step() { break }
        }
        prop_assert_eq!(world.case.status.phase, Phase::Completed);
        prop_assert!(world.case.status.outcome.is_some());
        prop_assert!(world.executions <= 1, "executed {} times", world.executions);
        let expected: Vec<i64> = (1..=i64::try_from(world.sequences.len()).unwrap()).collect();
        prop_assert_eq!(world.sequences, expected);
    }
}
