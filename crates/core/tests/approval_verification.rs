//! Which approvals the executor obeys: one that is as it must be, and none that differs from it in a single thing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use firewatch_core::api::policy::PolicyMode;
use firewatch_core::api::status::{EvidenceRef, IncidentStatus, PlanStatus, Review, RootCauseStatus, Verdict};
use firewatch_core::api::{
    ActionTarget, ActionType, ApprovalMode, Claim, Confirmation, Decision, Incident, ObjectName, Phase,
    RemediationApproval, ResponsePolicy, Risk, Role,
};
use firewatch_core::approval::history::{History, Repair};
use firewatch_core::approval::policy;
use firewatch_core::approval::verify::{Purpose, may_go_on};
use firewatch_core::approval::{GuardState, Refusal, VerifiedPlan, VerifyInput, digest, verify};
use firewatch_core::remediation::{Action, Change, assess};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

const INCIDENT_UID: &str = "11111111-1111-4111-8111-111111111111";
const APPROVAL_UID: &str = "22222222-2222-4222-8222-222222222222";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seconds).unwrap()
}

fn target(kind: &str, api_version: &str, name: &str) -> ActionTarget {
    ActionTarget {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: Some("shop".into()),
        name: name.into(),
        uid: "33333333-3333-4333-8333-333333333333".into(),
    }
}

fn actions() -> Vec<Action> {
    vec![
        Action::new(
            target("ConfigMap", "v1", "checkout-settings"),
            Change::PatchConfigMapKey {
                key: "PAYMENT_GATEWAY_URL".into(),
                parent_absent: false,
                from: None,
                to: Some("http://payment-gateway:8080/v1".into()),
            },
        )
        .unwrap(),
        Action::new(
            target("Deployment", "apps/v1", "checkout"),
            Change::RestartRollout {
                mark: "2026-11-24T03:00:00Z".into(),
            },
        )
        .unwrap(),
    ]
}

/// Everything that the executor reads, as it is when a plan may be carried out.
#[derive(Clone)]
struct World {
    purpose: Purpose,
    uid: String,
    approval: RemediationApproval,
    incident: Option<Incident>,
    policies: Vec<ResponsePolicy>,
    labels: BTreeMap<String, String>,
    guards: GuardState,
    now: Timestamp,
    history: Option<History>,
}

impl World {
    fn of(actions: &[Action], required: i32) -> Self {
        let mut incident: Incident = serde_json::from_value(serde_json::json!({
            "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident",
            "metadata": {"name": "checkout-restarts", "namespace": "shop", "uid": INCIDENT_UID},
            "spec": {"title": "checkout restarts", "requestedBy": "carol"},
        }))
        .unwrap();
        let mut plan = PlanStatus {
            revision: 1,
            digest: String::new(),
            risk: assess::risk(actions),
            summary: assess::summary(actions),
            actions: actions
                .iter()
                .enumerate()
                .map(|(index, action)| action.to_planned(&format!("A{}", index + 1), &["E1".into()], None))
                .collect(),
            long_term_fixes: Vec::new(),
            manual_reason: None,
            estimated_resolution_seconds: 60,
            expires_at: Some(Time(at(900))),
        };
        plan.digest = digest::of_plan(&incident, &plan, required).unwrap().to_string();
        let mut spec = digest::seal(&incident, &plan, required).unwrap();
        spec.decision = Decision::Approved;
        spec.approver = Some("alice".into());
        spec.confirmation = (required > 1).then(|| Confirmation {
            approver: "bob".into(),
            reason: None,
        });
        let name = digest::approval_name("checkout-restarts", &spec.plan_digest);
        let mut approval = RemediationApproval::new(&name, spec);
        approval.metadata.namespace = Some("shop".into());
        approval.metadata.uid = Some(APPROVAL_UID.into());
        approval.metadata.creation_timestamp = Some(Time(at(0)));
        incident.status = Some(IncidentStatus {
            phase: Phase::AwaitingApproval,
            plan: Some(plan),
            root_cause: Some(RootCauseStatus {
                category: "MissingConfiguration".into(),
                summary: "a key is missing".into(),
                object: ObjectName::namespaced("ConfigMap", "shop", "checkout-settings"),
                confidence: "0.93".into(),
                evidence: vec!["E1".into()],
                chain: Vec::new(),
                alternatives: Vec::new(),
            }),
            review: Some(Review {
                verdict: Verdict::Approve,
                reasons: Vec::new(),
                conditions: Vec::new(),
                concerns: Vec::new(),
            }),
            evidence: vec![EvidenceRef {
                id: "E1".into(),
                agent: Role::SreInvestigator,
                command: "get".into(),
                state: "Complete".into(),
                sha256: String::new(),
                config_map: None,
            }],
            ..IncidentStatus::default()
        });
        Self {
            purpose: Purpose::Remediate,
            uid: APPROVAL_UID.into(),
            approval,
            incident: Some(incident),
            policies: Vec::new(),
            labels: BTreeMap::from([("team".into(), "shop".into())]),
            guards: GuardState {
                intact: true,
                differences: Vec::new(),
                newest_change: Some(at(-100)),
                operator_namespace: Some("firewatch-system".into()),
            },
            now: at(60),
            history: Some(History::default()),
        }
    }

    fn accepted() -> Self {
        Self::of(&actions(), 1)
    }

    fn input(&self) -> VerifyInput<'_> {
        VerifyInput {
            purpose: self.purpose,
            uid: &self.uid,
            approval: &self.approval,
            incident: self.incident.as_ref(),
            policies: &self.policies,
            namespace_labels: &self.labels,
            guards: &self.guards,
            now: self.now,
            history: self.history.as_ref(),
        }
    }

    fn verify(&self) -> Result<VerifiedPlan, Refusal> {
        verify(&self.input())
    }

    fn may_go_on(&self) -> String {
        may_go_on(&self.input()).map_or_else(|refusal| refusal.reason().to_owned(), |()| "accepted".to_owned())
    }

    fn reason(&self) -> String {
        self.verify()
            .map_or_else(|refusal| refusal.reason().to_owned(), |_| "accepted".to_owned())
    }

    fn incident(&mut self) -> &mut Incident {
        self.incident.as_mut().unwrap()
    }

    /// As an attacker with the operator's rights would: everything that follows from the content is made to fit it again.
    fn resealed(mut self, change: impl FnOnce(&mut RemediationApproval)) -> Self {
        change(&mut self.approval);
        let digest = digest::of_approval(&self.approval).unwrap().to_string();
        let name = digest::approval_name(&self.approval.spec.incident_ref.name, &digest);
        self.approval.spec.plan_digest.clone_from(&digest);
        self.approval.metadata.name = Some(name);
        let revision = self.approval.spec.revision;
        if let Some(plan) = self.incident.as_mut().and_then(|i| i.status.as_mut()?.plan.as_mut()) {
            plan.digest = digest;
            plan.revision = revision;
        }
        self
    }

    fn policy(mut self, change: impl FnOnce(&mut ResponsePolicy)) -> Self {
        let mut policy = ResponsePolicy::new("shop", firewatch_core::api::ResponsePolicySpec::default());
        change(&mut policy);
        self.policies.push(policy);
        self
    }

    fn by_policy() -> Self {
        let mut world = Self::accepted().policy(|policy| {
            policy.metadata.uid = Some("policy".into());
            policy.metadata.generation = Some(3);
            policy.spec.auto_approve = Some(
                serde_json::from_value(serde_json::json!({
                    "maxRisk": "medium", "actionTypes": ["PatchConfigMapKey", "RestartRollout"],
                    "minConfidence": "0.9", "maxPerHour": 3,
                }))
                .unwrap(),
            );
        });
        world.approval.spec.approver = Some("responsepolicy:shop".into());
        world.approval.spec.policy = policy::identity(&world.policies[0]);
        world.incident().spec.approval_mode = ApprovalMode::Policy;
        world
    }

    fn rollback() -> Self {
        let mut world = Self::accepted();
        world.purpose = Purpose::Rollback;
        world.now = at(1200);
        world.approval.status = Some(firewatch_core::api::approval::RemediationApprovalStatus {
            claim: Some(claim(Some(at(100)))),
            ..Default::default()
        });
        world
    }
}

fn claim(at: Option<Timestamp>) -> Claim {
    Claim {
        pod_uid: "pod".into(),
        pod_name: None,
        nonce: "0".repeat(32),
        at: at.map(Time),
    }
}

#[test]
fn an_approval_that_is_as_it_must_be_is_obeyed_exactly() {
    let plan = World::accepted().verify().unwrap();
    let only: Vec<Action> = plan.actions().iter().map(|(_, action)| action.clone()).collect();
    assert_eq!(only, actions());
    assert_eq!(plan.approver(), "alice");
    assert_eq!(World::by_policy().reason(), "accepted");
    assert_eq!(World::rollback().reason(), "accepted");
}

#[test]
fn each_thing_that_differs_is_refused_for_its_own_reason() {
    type Case = (&'static str, fn(&mut World));
    let cases: &[Case] = &[
        ("GuardsBroken", |w| {
            w.guards.intact = false;
            w.guards.differences = vec!["a binding is gone".into()];
        }),
        ("GuardsYounger", |w| w.guards.newest_change = Some(at(5))),
        ("GuardsYounger", |w| w.guards.newest_change = Some(at(0))),
        ("GuardsYounger", |w| w.guards.newest_change = None),
        ("GuardsYounger", |w| w.approval.metadata.creation_timestamp = None),
        ("ApprovalUid", |w| w.uid = "someone-else".into()),
        ("ApprovalUid", |w| w.approval.metadata.uid = None),
        ("ApprovalDeleted", |w| {
            w.approval.metadata.deletion_timestamp = Some(Time(at(1)));
        }),
        ("ApprovalName", |w| {
            w.approval.metadata.name = Some("checkout-restarts-0".into());
        }),
        ("Undecided", |w| w.approval.spec.decision = Decision::Pending),
        ("Rejected", |w| w.approval.spec.decision = Decision::Rejected),
        ("NoApprover", |w| w.approval.spec.approver = None),
        ("NoApprover", |w| w.approval.spec.approver = Some(String::new())),
        ("RobotApprover", |w| {
            w.approval.spec.approver = Some("system:serviceaccount:firewatch-system:firewatch".into());
        }),
        ("Expired", |w| w.now = at(900)),
        ("IncidentMissing", |w| w.incident = None),
        ("IncidentUid", |w| w.incident().metadata.uid = Some("made-again".into())),
        ("IncidentUid", |w| {
            w.incident().metadata.namespace = Some("other".into());
        }),
        ("IncidentDeleted", |w| {
            w.incident().metadata.deletion_timestamp = Some(Time(at(1)));
        }),
        ("Cancelled", |w| w.incident().spec.cancelled = true),
        ("IncidentOver", |w| {
            w.incident().status.as_mut().unwrap().phase = Phase::Completed;
        }),
        ("Superseded", |w| {
            w.incident().status.as_mut().unwrap().plan.as_mut().unwrap().revision = 2;
        }),
        ("Superseded", |w| w.incident().status.as_mut().unwrap().plan = None),
        ("Superseded", |w| w.incident().status = None),
        ("Requester", |w| w.approval.spec.requested_by = Some("mallory".into())),
        ("OwnRequest", |w| w.approval.spec.requested_by = Some("alice".into())),
        ("Claimed", |w| {
            w.approval.status = Some(firewatch_core::api::approval::RemediationApprovalStatus {
                claim: Some(claim(None)),
                ..Default::default()
            });
        }),
        ("Digest", |w| {
            w.approval.spec.plan_digest = format!("sha256:{}", "0".repeat(64));
        }),
        ("Digest", |w| {
            w.approval.spec.actions[0].parameters.to = Some("http://evil".into());
        }),
        ("Digest", |w| w.approval.spec.expires_at = Time(at(100_000))),
        ("Digest", |w| w.approval.metadata.namespace = Some("other".into())),
        ("Summary", |w| w.approval.spec.summary = "nothing much".into()),
        ("Suspended", |w| *w = w.clone().policy(|p| p.spec.suspended = true)),
        ("PolicyMode", |w| {
            *w = w.clone().policy(|p| p.spec.mode = PolicyMode::Suggest);
        }),
        ("ActionNotAllowed", |w| {
            *w = w.clone().policy(|p| p.spec.allowed_actions = vec![ActionType::Scale]);
        }),
        ("RequiredApprovals", |w| {
            *w = w.clone().policy(|p| p.spec.required_approvals = Some(2));
        }),
        ("PoliciesTied", |w| {
            *w = w
                .clone()
                .policy(|_| {})
                .policy(|p| p.metadata.name = Some("other".into()));
        }),
    ];
    for (reason, change) in cases {
        let mut world = World::accepted();
        change(&mut world);
        assert_eq!(world.reason(), *reason);
    }
}

#[test]
fn what_was_sealed_again_by_somebody_with_the_operators_rights_is_refused_too() {
    type Case = (&'static str, fn(&mut RemediationApproval));
    let cases: &[Case] = &[
        ("TooLong", |a| a.spec.expires_at = Time(at(86_401))),
        ("Empty", |a| a.spec.actions.clear()),
        ("ActionIds", |a| a.spec.actions[1].id = "A1".into()),
        ("Action", |a| a.spec.actions[0].target.kind = "Secret".into()),
        ("Action", |a| a.spec.actions[0].target.name = "--all".into()),
        ("Command", |a| {
            a.spec.actions[0].command = vec!["kubectl".into(), "delete".into(), "ns".into(), "shop".into()];
        }),
        ("Command", |a| {
            a.spec.actions[0].parameters.to = Some("http://evil".into());
        }),
        ("Command", |a| a.spec.actions[0].target.uid = "another".into()),
        ("Inverse", |a| a.spec.actions[0].rollback.clear()),
        ("ActionRisk", |a| a.spec.actions[1].risk = Risk::Low),
        ("Impact", |a| a.spec.actions[1].impact = "none at all".into()),
        ("Risk", |a| a.spec.risk = Risk::Low),
        ("Superseded", |a| a.spec.incident_ref.name = "checkout-restarts".into()),
    ];
    for (reason, change) in cases {
        let mut world = World::accepted().resealed(change);
        if *reason == "Superseded" {
            // A valid approval of a plan that the incident never stood at.
            world = world.resealed(|a| a.spec.revision = 7);
            world
                .incident()
                .status
                .as_mut()
                .unwrap()
                .plan
                .as_mut()
                .unwrap()
                .revision = 1;
        }
        assert_eq!(world.reason(), *reason);
    }
}

#[test]
fn nothing_outside_the_approvals_namespace_is_changed() {
    let mut foreign = actions().remove(0).target().clone();
    foreign.namespace = Some("kube-system".into());
    let change = actions().remove(0).change().clone();
    let world = World::of(&[Action::new(foreign, change).unwrap()], 1);
    assert_eq!(world.reason(), "ForeignNamespace");
    let node = ActionTarget {
        api_version: "v1".into(),
        kind: "Node".into(),
        namespace: None,
        name: "node-1".into(),
        uid: "33333333-3333-4333-8333-333333333333".into(),
    };
    let world = World::of(&[Action::new(node, Change::CordonNode).unwrap()], 2);
    assert_eq!(world.reason(), "ClusterScoped");
    let mut central = world;
    central.guards.operator_namespace = Some("shop".into());
    assert_eq!(central.reason(), "accepted");
}

#[test]
fn a_plan_of_high_risk_needs_two_people_who_did_not_ask_for_it() {
    let stop = Action::new(
        target("Deployment", "apps/v1", "checkout"),
        Change::Scale { from: 2, to: 0 },
    )
    .unwrap();
    let high = [stop];
    assert_eq!(World::of(&high, 1).reason(), "RequiredApprovals");
    assert_eq!(World::of(&high, 2).reason(), "accepted");
    let with = |first: &str, second: Option<&str>| {
        let mut world = World::of(&high, 2);
        world.approval.spec.approver = Some(first.into());
        world.approval.spec.confirmation = second.map(|name| Confirmation {
            approver: name.into(),
            reason: None,
        });
        world.reason()
    };
    assert_eq!(with("alice", None), "Unconfirmed");
    assert_eq!(with("alice", Some("alice")), "SamePerson");
    assert_eq!(with("carol", Some("bob")), "OwnRequest");
    assert_eq!(with("alice", Some("carol")), "OwnRequest");
    assert_eq!(with("alice", Some("system:serviceaccount:a:b")), "RobotApprover");
    assert_eq!(with("alice", Some("responsepolicy:shop")), "RobotApprover");
    let mut hidden = World::of(&high, 2);
    hidden.approval.spec.requested_by = None;
    assert_eq!(hidden.reason(), "Requester");
}

/// A repair that a policy approved, of something else.
fn other_repair(number: usize) -> Repair {
    Repair {
        approval: format!("other-{number}"),
        at: Some(at(50)),
        by_policy: true,
        fix: std::collections::BTreeSet::new(),
        cause: None,
        helped: true,
    }
}

#[test]
fn what_a_policy_decided_is_decided_again_before_the_claim_and_before_each_action() {
    type Case = (&'static str, fn(&mut World));
    let cases: &[Case] = &[
        ("PolicyApproval", |w| {
            w.approval.spec.approver = Some("responsepolicy:other".into());
        }),
        ("PolicyApproval", |w| w.policies.clear()),
        ("PolicyApproval", |w| w.approval.spec.policy = None),
        ("PolicyApproval", |w| w.approval.spec.approver = Some("alice".into())),
        ("PolicyApproval", |w| w.policies[0].spec.auto_approve = None),
        ("PolicyApproval", |w| {
            w.policies[0].spec.auto_approve.as_mut().unwrap().max_risk = Risk::Low;
        }),
        ("PolicyApproval", |w| {
            w.policies[0].spec.auto_approve.as_mut().unwrap().action_types = vec![ActionType::Scale];
        }),
        ("PolicyApproval", |w| {
            w.policies[0].spec.auto_approve.as_mut().unwrap().min_confidence = Some("0.95".into());
        }),
        ("PolicyApproval", |w| {
            w.incident().spec.approval_mode = ApprovalMode::Manual;
        }),
        ("PolicyApproval", |w| {
            w.incident().status.as_mut().unwrap().root_cause = None;
        }),
        ("PolicyApproval", |w| w.history = None),
        ("PolicyApproval", |w| {
            w.history.as_mut().unwrap().repairs = (0..3).map(other_repair).collect();
        }),
        // Whatever else was changed of it, it is no longer the policy that decided.
        ("PolicyChanged", |w| w.policies[0].metadata.generation = Some(4)),
        ("PolicyChanged", |w| {
            w.policies[0].metadata.uid = Some("made again".into());
        }),
        ("PolicyChanged", |w| w.policies[0].spec.cooldown = Some(10)),
        ("Suspended", |w| w.policies[0].spec.suspended = true),
        ("PolicyMode", |w| w.policies[0].spec.mode = PolicyMode::Suggest),
        ("ActionNotAllowed", |w| {
            w.policies[0].spec.allowed_actions = vec![ActionType::Scale];
        }),
        ("RequiredApprovals", |w| w.policies[0].spec.required_approvals = Some(2)),
        ("PoliciesTied", |w| {
            *w = w.clone().policy(|p| p.metadata.name = Some("other".into()));
        }),
        ("Cancelled", |w| w.incident().spec.cancelled = true),
    ];
    for (reason, change) in cases {
        let mut world = World::by_policy();
        change(&mut world);
        assert_eq!(world.reason(), *reason);
        // And so does the pod stop that has claimed.
        world.approval.status = World::rollback().approval.status;
        assert_eq!(world.may_go_on(), *reason);
    }
    let mut claimed = World::by_policy();
    claimed.approval.status = World::rollback().approval.status;
    claimed.now = at(1500);
    assert_eq!(claimed.may_go_on(), "accepted", "what was begun in time goes on");
}

#[test]
fn of_two_that_claim_at_once_one_goes_on() {
    let mut world = World::by_policy();
    world.policies[0].spec.auto_approve.as_mut().unwrap().max_per_hour = Some(1);
    world.approval.spec.policy = policy::identity(&world.policies[0]);
    world.approval.status = World::rollback().approval.status;
    let rival = |uid: &str, seconds| Repair {
        approval: uid.into(),
        at: Some(at(seconds)),
        ..other_repair(0)
    };
    for (uid, seconds, said) in [
        ("0", 100, "PolicyApproval"),
        ("9", 100, "accepted"),
        ("9", 99, "PolicyApproval"),
        ("0", 101, "accepted"),
    ] {
        world.history.as_mut().unwrap().repairs = vec![rival(uid, seconds)];
        assert_eq!(world.may_go_on(), said, "{uid} {seconds}");
    }
}

#[test]
fn a_shorter_life_of_plans_holds_for_those_that_wait() {
    let with = |seconds| {
        let world = World::accepted().policy(|p| p.spec.approval_ttl_seconds = Some(seconds));
        world.reason()
    };
    assert_eq!(with(60), "accepted");
    let mut late = World::accepted().policy(|p| p.spec.approval_ttl_seconds = Some(60));
    late.now = at(61);
    assert_eq!(late.reason(), "PolicyTtl");
    late.policies.clear();
    assert_eq!(late.reason(), "accepted");
}

#[test]
fn the_way_back_of_what_a_policy_approved_is_not_kept_from_it_by_its_limits() {
    let mut world = World::by_policy();
    world.purpose = Purpose::Rollback;
    world.now = at(1200);
    world.approval.status = World::rollback().approval.status;
    world.history = None;
    assert_eq!(world.reason(), "accepted");
    world.policies[0].spec.suspended = true;
    assert_eq!(world.reason(), "Suspended");
}

#[test]
fn a_plan_is_taken_back_once_and_within_half_an_hour() {
    type Case = (&'static str, fn(&mut World));
    let cases: &[Case] = &[
        ("accepted", |w| w.now = at(1900)),
        ("RollbackTooLate", |w| w.now = at(1901)),
        ("RollbackTooLate", |w| {
            w.approval.status.as_mut().unwrap().claim = Some(claim(None));
        }),
        ("NotClaimed", |w| w.approval.status = None),
        ("RolledBack", |w| {
            w.approval.status.as_mut().unwrap().rollback_claim = Some(claim(None));
        }),
        ("Cancelled", |w| w.incident().spec.cancelled = true),
        ("Rejected", |w| w.approval.spec.decision = Decision::Rejected),
    ];
    for (reason, change) in cases {
        let mut world = World::rollback();
        change(&mut world);
        assert_eq!(world.reason(), *reason);
    }
    let mut restart = World::of(&actions()[1..], 1);
    restart.purpose = Purpose::Rollback;
    restart.approval.status = World::rollback().approval.status;
    assert_eq!(restart.reason(), "NoInverse");
}

#[test]
fn a_kill_switch_holds_whatever_priority_another_policy_has() {
    let world = World::accepted().policy(|p| p.spec.priority = 10).policy(|p| {
        p.metadata.name = Some("stop".into());
        p.spec.suspended = true;
    });
    assert_eq!(world.reason(), "Suspended");
}

#[test]
fn the_digest_is_that_of_the_canonical_plan_and_names_the_approval() {
    let world = World::accepted();
    let spec = &world.approval.spec;
    assert!(spec.plan_digest.starts_with("sha256:") && spec.plan_digest.len() == 71);
    assert_eq!(
        world.approval.metadata.name.as_deref().unwrap().len(),
        "checkout-restarts".len() + 33
    );
    let mut plan = world.incident.clone().unwrap().status.unwrap().plan.unwrap();
    plan.digest = format!("sha256:{}", "0".repeat(64));
    assert_eq!(
        digest::seal(&world.incident.clone().unwrap(), &plan, 1)
            .unwrap_err()
            .reason(),
        "PlanDigestMismatch"
    );
    plan.actions.clear();
    assert_eq!(
        digest::seal(&world.incident.unwrap(), &plan, 1).unwrap_err().reason(),
        "PlanEmpty"
    );
}

/// Every path to a leaf of a JSON value.
fn leaves(value: &serde_json::Value, path: String, all: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => map.iter().for_each(|(key, held)| {
            leaves(
                held,
                format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")),
                all,
            );
        }),
        serde_json::Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, held)| leaves(held, format!("{path}/{index}"), all));
        }
        _ => all.push(path),
    }
}

proptest! {
    /// Who approved, and why, are not part of the plan: the API server makes them final and admission makes them true.
    #[test]
    fn no_single_field_of_an_accepted_approval_can_be_changed(pick in any::<prop::sample::Index>(), text in "[a-z0-9:/.-]{1,12}") {
        let world = World::accepted();
        let whole = serde_json::to_value(&world.approval).unwrap();
        let mut paths = Vec::new();
        leaves(&whole, String::new(), &mut paths);
        paths.retain(|path| !["/spec/approver", "/apiVersion", "/kind"].contains(&path.as_str()));
        let path = &paths[pick.index(paths.len())];
        let mut changed = whole.clone();
        let held = changed.pointer_mut(path).unwrap();
        *held = match held.as_i64() {
            Some(number) => (number + 1).into(),
            None => text.into(),
        };
        prop_assume!(changed != whole);
        if let Ok(approval) = serde_json::from_value(changed) {
            let mut other = world;
            other.approval = approval;
            // Made a little earlier or later it is the same approval, as long as the guards are older.
            let expected = path == "/metadata/creationTimestamp";
            prop_assert!(other.verify().is_err() || expected, "{} was changed and not seen", path);
        }
    }

    #[test]
    fn no_field_of_an_action_can_be_taken_away(pick in any::<prop::sample::Index>()) {
        let world = World::accepted();
        let mut whole = serde_json::to_value(&world.approval).unwrap();
        let action = whole.pointer_mut("/spec/actions/0").unwrap().as_object_mut().unwrap();
        let keys: Vec<String> = action.keys().cloned().collect();
        action.remove(&keys[pick.index(keys.len())]);
        if let Ok(approval) = serde_json::from_value(whole) {
            let mut other = world;
            other.approval = approval;
            prop_assert!(other.verify().is_err());
        }
    }
}
