//! What a policy approves by itself: a table in which each field both allows and refuses, and the law that one more restriction never
//! allows more. And the dry run, which says the same of the past.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use firewatch_core::api::policy::PolicyMode;
use firewatch_core::api::{Incident, RemediationApproval, ResponsePolicy, Risk};
use firewatch_core::approval::auto::{Objection, Proposal, judge, sentence};
use firewatch_core::approval::history::{History, Own, Repair, cause, fix};
use firewatch_core::approval::policy::{effective, identity};
use firewatch_core::approval::rehearsal::{Past, Rehearsed, rehearse};
use firewatch_core::remediation::{Action, Change, assess};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A Wednesday noon.
fn noon() -> Timestamp {
    "2026-03-04T12:00:00Z".parse().unwrap()
}

fn minutes_ago(minutes: i64) -> Timestamp {
    noon().checked_sub(SignedDuration::from_mins(minutes)).unwrap()
}

fn action(change: Change, kind: &str) -> Value {
    let target = json!({"apiVersion": if kind == "ConfigMap" { "v1" } else { "apps/v1" }, "kind": kind, "namespace": "shop",
        "name": "checkout", "uid": "33333333-3333-4333-8333-333333333333"});
    let action = Action::new(serde_json::from_value(target).unwrap(), change).unwrap();
    serde_json::to_value(action.to_planned("A1", &["E1".into()], None)).unwrap()
}

fn scale(to: i32) -> Value {
    action(Change::Scale { from: 1, to }, "Deployment")
}

fn setting() -> Value {
    let change = Change::PatchConfigMapKey {
        key: "URL".into(),
        parent_absent: false,
        from: None,
        to: Some("http://a".into()),
    };
    action(change, "ConfigMap")
}

/// Everything that a policy looks at, as JSON, so that a case changes one thing of it.
#[derive(Clone)]
struct World {
    policy: Value,
    others: Vec<ResponsePolicy>,
    incident: Value,
    required: i32,
    made: Timestamp,
    history: Option<History>,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self {
            policy: json!({"autoApprove": {"maxRisk": "low", "actionTypes": ["PatchConfigMapKey"], "minConfidence": "0.9"}}),
            others: Vec::new(),
            incident: incident("one", &[setting()]),
            required: 1,
            made: minutes_ago(1),
            history: Some(History::default()),
            now: noon(),
        }
    }

    fn auto(&mut self, field: &str, value: Value) {
        self.policy["autoApprove"][field] = value;
    }

    fn status(&mut self, field: &str, value: Value) {
        self.incident["status"][field] = value;
    }

    fn plan(&mut self, actions: &[Value]) {
        self.incident = incident("one", actions);
    }

    fn repaired(&mut self, repair: Repair) {
        self.history.as_mut().unwrap().repairs.push(repair);
    }

    fn said(&self) -> Result<(), Objection> {
        let mut policies = self.others.clone();
        policies.push(policy("shop", &self.policy));
        let effective = effective(&policies, &BTreeMap::from([("team".into(), "shop".into())]));
        let incident: Incident = serde_json::from_value(self.incident.clone()).unwrap();
        let plan = incident.status.as_ref().unwrap().plan.clone().unwrap();
        let proposal = Proposal {
            incident: &incident,
            actions: &plan.actions,
            risk: plan.risk,
            required_approvals: self.required,
            made: Some(self.made),
            own: Own::default(),
        };
        judge(&effective, &proposal, self.history.as_ref(), self.now).map(|found| {
            assert_eq!(Some(found), identity(policies.last().unwrap()));
        })
    }

    fn reason(&self) -> String {
        self.said()
            .map_or_else(|o| o.reason().to_owned(), |()| "approved".to_owned())
    }
}

fn policy(name: &str, spec: &Value) -> ResponsePolicy {
    let mut policy = ResponsePolicy::new(name, serde_json::from_value(spec.clone()).unwrap());
    policy.metadata.uid = Some(format!("uid-{name}"));
    policy.metadata.generation = Some(2);
    policy
}

fn incident(name: &str, actions: &[Value]) -> Value {
    let planned: Vec<firewatch_core::api::PlannedAction> = actions
        .iter()
        .map(|one| serde_json::from_value(one.clone()).unwrap())
        .collect();
    let typed: Vec<Action> = planned.iter().map(|one| Action::try_from(one).unwrap()).collect();
    json!({
        "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "creationTimestamp": "2026-03-04T11:00:00Z"},
        "spec": {"title": "t", "approvalMode": "Policy"},
        "status": {
            "plan": {"revision": 1, "digest": format!("digest-{name}"), "risk": assess::risk(&typed), "summary": "s", "actions": actions},
            "rootCause": {"category": "MissingKey", "summary": "a key is missing", "confidence": "0.93", "evidence": ["E1"],
                "object": {"kind": "ConfigMap", "namespace": "shop", "name": "checkout"}},
            "review": {"verdict": "Approve", "reasons": []},
            "agents": [{"role": "sre-investigator", "engine": "Rules", "state": "Succeeded"}],
            "evidence": [{"id": "E1", "agent": "sre-investigator", "command": "get", "state": "Complete", "sha256": ""}],
        },
    })
}

/// A repair of the same by a person that helped, long ago.
fn proof() -> Repair {
    let incident: Incident = serde_json::from_value(incident("before", &[setting()])).unwrap();
    Repair {
        approval: "before".into(),
        at: Some(minutes_ago(300)),
        by_policy: false,
        fix: fix(&incident.status.as_ref().unwrap().plan.as_ref().unwrap().actions),
        cause: cause(&incident),
        helped: true,
    }
}

fn by_policy(minutes: i64) -> Repair {
    Repair {
        approval: format!("at-{minutes}"),
        at: Some(minutes_ago(minutes)),
        by_policy: true,
        fix: fix(&[]),
        cause: None,
        helped: true,
    }
}

type Tweak = fn(&mut World);

/// Each field, once as it allows and once as it refuses.
const TABLE: &[(&str, &str, Tweak)] = &[
    ("the plain case", "approved", |_| {}),
    // which policy holds
    ("another policy of lower priority", "approved", |w| {
        w.policy["priority"] = json!(5);
        w.others = vec![policy("low", &json!({"priority": 1}))];
    }),
    (
        "another of higher priority that approves nothing",
        "AutoApproveOff",
        |w| {
            w.others = vec![policy("high", &json!({"priority": 9}))];
        },
    ),
    ("a tie", "PoliciesTied", |w| {
        w.others = vec![policy("other", &json!({}))];
    }),
    ("a selector that fits", "approved", |w| {
        w.policy["namespaceSelector"] = json!({"matchLabels": {"team": "shop"}});
    }),
    ("a selector that does not", "NoPolicy", |w| {
        w.policy["namespaceSelector"] = json!({"matchLabels": {"team": "other"}});
    }),
    ("no autoApprove", "AutoApproveOff", |w| w.policy = json!({})),
    ("suspended", "Suspended", |w| w.policy["suspended"] = json!(true)),
    ("suspended by a policy of lower priority", "Suspended", |w| {
        w.policy["priority"] = json!(5);
        w.others = vec![policy("stop", &json!({"suspended": true}))];
    }),
    ("mode Remediate", "approved", |w| w.policy["mode"] = json!("Remediate")),
    ("mode Suggest", "Mode", |w| w.policy["mode"] = json!("Suggest")),
    ("mode Observe", "Mode", |w| w.policy["mode"] = json!("Observe")),
    // what the incident wants
    ("approvalMode Manual", "AskedForPerson", |w| {
        w.incident["spec"]["approvalMode"] = json!("Manual");
    }),
    ("no approvalMode", "AskedForPerson", |w| {
        w.incident["spec"] = json!({"title": "t"});
    }),
    ("an alert's incident", "AskedForPerson", |w| {
        w.incident["spec"] = json!({"title": "t", "alert": {"source": "alertmanager"}});
    }),
    ("an alert's incident where the policy takes those", "approved", |w| {
        w.incident["spec"] = json!({"title": "t", "alert": {"source": "alertmanager"}});
        w.auto("alerts", json!(true));
    }),
    (
        "a person's incident where the policy takes alerts",
        "AskedForPerson",
        |w| {
            w.incident["spec"] = json!({"title": "t", "alert": {"source": "manual"}});
            w.auto("alerts", json!(true));
        },
    ),
    ("a person asked for another plan", "PersonIntervened", |w| {
        w.incident["spec"]["revisionFeedback"] = json!("not at noon");
    }),
    ("cancelled", "Cancelled", |w| {
        w.incident["spec"]["cancelled"] = json!(true);
    }),
    // what the plan does
    ("two approvals by the policy", "TwoPeople", |w| {
        w.policy["requiredApprovals"] = json!(2);
    }),
    ("two approvals by the approval", "TwoPeople", |w| w.required = 2),
    ("one approval", "approved", |w| w.policy["requiredApprovals"] = json!(1)),
    ("a risk above", "Risk", |w| {
        w.incident["status"]["plan"]["risk"] = json!("medium");
    }),
    ("a risk that it may take", "approved", |w| {
        w.auto("maxRisk", json!("medium"));
        w.incident["status"]["plan"]["risk"] = json!("medium");
    }),
    ("high risk needs two unless one is said", "TwoPeople", |w| {
        w.auto("maxRisk", json!("high"));
        w.incident["status"]["plan"]["risk"] = json!("high");
    }),
    ("high risk where one is said", "approved", |w| {
        w.policy["requiredApprovals"] = json!(1);
        w.auto("maxRisk", json!("high"));
        w.incident["status"]["plan"]["risk"] = json!("high");
    }),
    ("another action type", "ActionType", |w| {
        w.auto("actionTypes", json!(["Scale"]));
    }),
    ("one of two actions is of another type", "ActionType", |w| {
        w.plan(&[setting(), scale(2)]);
    }),
    ("both types", "approved", |w| {
        w.plan(&[setting(), scale(2)]);
        w.auto("maxRisk", json!("medium"));
        w.auto("actionTypes", json!(["PatchConfigMapKey", "Scale"]));
    }),
    ("allowedActions with it", "approved", |w| {
        w.policy["allowedActions"] = json!(["PatchConfigMapKey"]);
    }),
    ("allowedActions without it", "ActionNotAllowed", |w| {
        w.policy["allowedActions"] = json!(["Scale"]);
    }),
    ("as many actions as it may", "approved", |w| {
        w.auto("limits", json!({"maxActions": 1}));
    }),
    ("more actions", "TooManyActions", |w| {
        w.plan(&[setting(), setting()]);
        w.auto("limits", json!({"maxActions": 1}));
    }),
    ("as many replicas as it may", "approved", |w| {
        w.plan(&[scale(4)]);
        w.auto("maxRisk", json!("medium"));
        w.auto("actionTypes", json!(["Scale"]));
        w.auto("limits", json!({"maxReplicas": 4}));
    }),
    ("more replicas", "TooManyReplicas", |w| {
        w.plan(&[scale(5)]);
        w.auto("maxRisk", json!("medium"));
        w.auto("actionTypes", json!(["Scale"]));
        w.auto("limits", json!({"maxReplicas": 4}));
    }),
    ("an action that means something else", "Action", |w| {
        w.incident["status"]["plan"]["actions"][0]["target"]["kind"] = json!("Secret");
    }),
    ("no action", "Empty", |w| {
        w.incident["status"]["plan"]["actions"] = json!([]);
    }),
    // how sure it is
    ("as sure as it must be", "approved", |w| {
        w.auto("minConfidence", json!("0.93"));
    }),
    ("less sure", "Confidence", |w| w.auto("minConfidence", json!("0.94"))),
    ("any confidence", "approved", |w| {
        w.policy["autoApprove"] = json!({"maxRisk": "low", "actionTypes": ["PatchConfigMapKey"]});
    }),
    ("a confidence that is no number", "Confidence", |w| {
        w.incident["status"]["rootCause"]["confidence"] = json!("sure");
    }),
    ("no cause", "NoCause", |w| w.status("rootCause", Value::Null)),
    ("a cause without evidence", "NoCause", |w| {
        w.incident["status"]["rootCause"]["evidence"] = json!([]);
    }),
    ("evidence that is not there", "EvidenceMissing", |w| {
        w.incident["status"]["rootCause"]["evidence"] = json!(["E1", "E9"]);
    }),
    ("evidence that was cut", "EvidenceIncomplete", |w| {
        w.incident["status"]["evidence"][0]["state"] = json!("Truncated");
    }),
    ("evidence that was refused", "EvidenceIncomplete", |w| {
        w.incident["status"]["evidence"][0]["state"] = json!("Forbidden");
    }),
    ("an action on evidence that is not there", "EvidenceMissing", |w| {
        w.incident["status"]["plan"]["actions"][0]["evidence"] = json!(["E7"]);
    }),
    ("evidence that was cut and that nothing cites", "approved", |w| {
        let cut = json!({"id": "E2", "agent": "code-analyst", "command": "logs", "state": "Truncated", "sha256": ""});
        w.incident["status"]["evidence"].as_array_mut().unwrap().push(cut);
    }),
    ("no review", "NotReviewed", |w| w.status("review", Value::Null)),
    ("a review that rejects", "NotReviewed", |w| {
        w.incident["status"]["review"]["verdict"] = json!("Reject");
    }),
    ("a concern", "Concern", |w| {
        w.incident["status"]["review"]["concerns"] = json!(["code-analyst's model speaks against it"]);
    }),
    ("an agent that failed", "AgentFailed", |w| {
        w.incident["status"]["agents"][0]["state"] = json!("Failed");
    }),
    ("a plan that leaves something to people", "LeftToPeople", |w| {
        w.incident["status"]["plan"]["manualReason"] = json!("the rest is Helm's");
    }),
    // when
    ("inside a window", "approved", |w| {
        w.auto(
            "windows",
            json!([{"days": ["Wednesday"], "from": "09:00", "to": "17:00"}]),
        );
    }),
    ("outside", "OutsideWindows", |w| {
        w.auto(
            "windows",
            json!([{"days": ["Tuesday"], "from": "09:00", "to": "17:00"}]),
        );
    }),
    ("inside by that zone's clock", "approved", |w| {
        w.auto(
            "windows",
            json!([{"from": "13:00", "to": "13:01", "timeZone": "Europe/Berlin"}]),
        );
    }),
    ("a zone that nobody knows", "Window", |w| {
        w.auto("windows", json!([{"from": "00:00", "to": "24:00", "timeZone": "X/Y"}]));
    }),
    ("a clock that is behind", "ClockSkew", |w| w.now = minutes_ago(3)),
    ("a clock that is a little behind", "approved", |w| {
        w.now = minutes_ago(1);
    }),
    // what was before
    ("a past that cannot be read", "HistoryUnknown", |w| w.history = None),
    ("fewer than it may in the hour", "approved", |w| {
        w.auto("maxPerHour", json!(2));
        w.repaired(by_policy(10));
        w.repaired(by_policy(61));
    }),
    ("as many as it may in the hour", "TooMany", |w| {
        w.auto("maxPerHour", json!(2));
        w.repaired(by_policy(10));
        w.repaired(by_policy(59));
    }),
    ("what people approved does not count", "approved", |w| {
        w.auto("maxPerHour", json!(1));
        w.repaired(Repair {
            by_policy: false,
            ..by_policy(10)
        });
    }),
    ("a claim of unknown time counts", "TooMany", |w| {
        w.auto("maxPerHour", json!(1));
        w.repaired(Repair {
            at: None,
            ..by_policy(10)
        });
    }),
    ("a target that was repaired a moment ago", "Cooldown", |w| {
        w.repaired(Repair {
            at: Some(minutes_ago(4)),
            ..proof()
        });
    }),
    ("a target that has rested", "approved", |w| {
        w.repaired(Repair {
            at: Some(minutes_ago(6)),
            ..proof()
        });
    }),
    ("a longer rest", "Cooldown", |w| {
        w.policy["cooldown"] = json!(600);
        w.repaired(Repair {
            at: Some(minutes_ago(6)),
            ..proof()
        });
    }),
    ("no rest", "approved", |w| {
        w.policy["cooldown"] = json!(0);
        w.repaired(Repair {
            at: Some(minutes_ago(1)),
            ..proof()
        });
    }),
    ("only what helped before, and it did", "approved", |w| {
        w.auto("onlyVerifiedBefore", json!(true));
        w.repaired(proof());
    }),
    (
        "only what helped before, and nothing is known",
        "NotVerifiedBefore",
        |w| w.auto("onlyVerifiedBefore", json!(true)),
    ),
    ("it did not help", "NotVerifiedBefore", |w| {
        w.auto("onlyVerifiedBefore", json!(true));
        w.repaired(Repair {
            helped: false,
            ..proof()
        });
    }),
    ("it helped, and did not the last time", "NotVerifiedBefore", |w| {
        w.auto("onlyVerifiedBefore", json!(true));
        w.repaired(proof());
        w.repaired(Repair {
            helped: false,
            at: Some(minutes_ago(60)),
            approval: "later".into(),
            ..proof()
        });
    }),
    ("it helped, but no person ever approved it", "NotVerifiedBefore", |w| {
        w.auto("onlyVerifiedBefore", json!(true));
        w.repaired(Repair {
            by_policy: true,
            ..proof()
        });
    }),
    ("it helped against another cause", "NotVerifiedBefore", |w| {
        w.auto("onlyVerifiedBefore", json!(true));
        w.repaired(Repair { cause: None, ..proof() });
    }),
];

#[test]
fn each_field_can_allow_and_refuse() {
    for (what, expected, change) in TABLE {
        let mut world = World::new();
        change(&mut world);
        assert_eq!(world.reason(), *expected, "{what}: {:?}", world.said());
    }
}

#[test]
fn policy_by_action_by_confidence_by_risk_by_window() {
    let mut approved = 0;
    let risks = ["low", "medium", "high"];
    let windows = [
        (json!([]), true),
        (json!([{"days": ["Wednesday"], "from": "11:00", "to": "13:00"}]), true),
        (json!([{"days": ["Sunday"], "from": "11:00", "to": "13:00"}]), false),
    ];
    for (most, most_risk) in risks.iter().enumerate() {
        for (risk_at, risk) in risks.iter().enumerate() {
            for types in [
                json!(["PatchConfigMapKey"]),
                json!(["Scale"]),
                json!(["Scale", "PatchConfigMapKey"]),
            ] {
                for confidence in ["0.50", "0.89", "0.90", "1.00"] {
                    for (window, open) in &windows {
                        let mut world = World::new();
                        world.policy["requiredApprovals"] = json!(1);
                        world.policy["autoApprove"] = json!({"maxRisk": most_risk, "actionTypes": types, "minConfidence": "0.9", "windows": window});
                        world.incident["status"]["plan"]["risk"] = json!(risk);
                        world.incident["status"]["rootCause"]["confidence"] = json!(confidence);
                        let expected = risk_at <= most
                            && types.as_array().unwrap().contains(&json!("PatchConfigMapKey"))
                            && ["0.90", "1.00"].contains(&confidence)
                            && *open;
                        assert_eq!(
                            world.said().is_ok(),
                            expected,
                            "{most_risk} {risk} {types} {confidence} {window}"
                        );
                        approved += usize::from(expected);
                    }
                }
            }
        }
    }
    assert_eq!(approved, 6 * 2 * 2 * 2);
}

#[test]
fn nothing_is_approved_without_a_policy_that_says_so() {
    let incident: Incident = serde_json::from_value(incident("one", &[setting()])).unwrap();
    let plan = incident.status.as_ref().unwrap().plan.clone().unwrap();
    let proposal = Proposal {
        incident: &incident,
        actions: &plan.actions,
        risk: Risk::Low,
        required_approvals: 1,
        made: None,
        own: Own::default(),
    };
    let say = |policies: &[ResponsePolicy]| {
        judge(
            &effective(policies, &BTreeMap::new()),
            &proposal,
            Some(&History::default()),
            noon(),
        )
        .unwrap_err()
    };
    assert_eq!(say(&[]), Objection::NoPolicy);
    for mode in [PolicyMode::Observe, PolicyMode::Suggest, PolicyMode::Remediate] {
        let mut silent = policy("p", &json!({}));
        silent.spec.mode = mode;
        assert_ne!(say(&[silent]).reason(), "approved");
    }
    // A policy that never was in a cluster decides nothing.
    let world = World::new();
    let mut unread = policy("p", &world.policy);
    unread.metadata.uid = None;
    assert_eq!(say(&[unread]), Objection::Unidentified);
}

#[test]
fn the_decision_names_the_policy_its_generation_and_its_digest() {
    let incident: Incident = serde_json::from_value(incident("one", &[setting()])).unwrap();
    let plan = incident.status.as_ref().unwrap().plan.clone().unwrap();
    let proposal = Proposal {
        incident: &incident,
        actions: &plan.actions,
        risk: Risk::Low,
        required_approvals: 1,
        made: None,
        own: Own::default(),
    };
    let policy = identity(&policy("shop", &World::new().policy)).unwrap();
    let said = sentence(&policy, &proposal);
    for part in [
        "ResponsePolicy shop",
        "generation 2",
        &policy.digest,
        "no person",
        "PatchConfigMapKey",
        "0.93",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// One restriction more.
#[derive(Clone, Debug)]
enum Restriction {
    Suspended,
    Mode(u8),
    Allowed,
    TwoPeople,
    Risk,
    Types,
    Confidence(u8),
    PerHour(i32),
    Actions(i32),
    Replicas(i32),
    Window(u8, u8),
    Proven,
    Cooldown(i64),
    OtherPolicy(i32),
}

fn restriction() -> impl Strategy<Value = Restriction> {
    prop_oneof![
        Just(Restriction::Suspended),
        (0..3_u8).prop_map(Restriction::Mode),
        Just(Restriction::Allowed),
        Just(Restriction::TwoPeople),
        Just(Restriction::Risk),
        Just(Restriction::Types),
        (0..100_u8).prop_map(Restriction::Confidence),
        (1..5_i32).prop_map(Restriction::PerHour),
        (1..4_i32).prop_map(Restriction::Actions),
        (0..8_i32).prop_map(Restriction::Replicas),
        (0..12_u8, 12..24_u8).prop_map(|(a, b)| Restriction::Window(a, b)),
        Just(Restriction::Proven),
        (300..4000_i64).prop_map(Restriction::Cooldown),
        (0..3_i32).prop_map(Restriction::OtherPolicy),
    ]
}

fn restrict(world: &mut World, with: &Restriction) {
    let tighter = |held: &Value, new: i64| json!(held.as_i64().map_or(new, |old| old.min(new)));
    match with {
        Restriction::Suspended => world.policy["suspended"] = json!(true),
        Restriction::Mode(n) => {
            let modes = ["Observe", "Suggest", "Remediate"];
            let held = modes.iter().position(|mode| world.policy["mode"] == *mode).unwrap_or(2);
            world.policy["mode"] = json!(modes[held.min(usize::from(*n))]);
        }
        Restriction::Allowed => world.policy["allowedActions"] = json!(["PatchConfigMapKey"]),
        Restriction::TwoPeople => world.policy["requiredApprovals"] = json!(2),
        Restriction::Risk => world.auto("maxRisk", json!("low")),
        Restriction::Types => world.auto("actionTypes", json!(["PatchConfigMapKey"])),
        Restriction::Confidence(n) => {
            let held: f64 = world.policy["autoApprove"]["minConfidence"]
                .as_str()
                .map_or(0.0, |t| t.parse().unwrap());
            let new = held.max(f64::from(*n) / 100.0);
            world.auto("minConfidence", json!(format!("{new:.2}")));
        }
        Restriction::PerHour(n) => {
            let held = tighter(&world.policy["autoApprove"]["maxPerHour"], i64::from(*n));
            world.auto("maxPerHour", held);
        }
        Restriction::Actions(n) => {
            let held = tighter(&world.policy["autoApprove"]["limits"]["maxActions"], i64::from(*n));
            world.policy["autoApprove"]["limits"]["maxActions"] = held;
        }
        Restriction::Replicas(n) => {
            let held = tighter(&world.policy["autoApprove"]["limits"]["maxReplicas"], i64::from(*n));
            world.policy["autoApprove"]["limits"]["maxReplicas"] = held;
        }
        Restriction::Window(a, b) => {
            if world.policy["autoApprove"]["windows"].is_null() {
                world.auto(
                    "windows",
                    json!([{"from": format!("{a:02}:00"), "to": format!("{b:02}:00")}]),
                );
            }
        }
        Restriction::Proven => world.auto("onlyVerifiedBefore", json!(true)),
        Restriction::Cooldown(n) => {
            let held = world.policy["cooldown"].as_i64().unwrap_or(300).max(*n);
            world.policy["cooldown"] = json!(held);
        }
        // Wins, ties or loses; it approves nothing.
        Restriction::OtherPolicy(priority) => {
            let name = format!("other-{}", world.others.len());
            world.others.push(policy(&name, &json!({"priority": priority})));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn one_restriction_more_never_allows_more(
        given in prop::collection::vec(restriction(), 0..4), more in restriction(),
        replicas in 2..9_i32, with_scale in any::<bool>(), confidence in 50..100_u8, hour in 0..24_i64,
        before in prop::collection::vec(1..200_i64, 0..3), proven in any::<bool>(), rested in 1..90_i64,
    ) {
        let mut world = World::new();
        world.policy = json!({"priority": 1, "autoApprove": {"maxRisk": "medium", "actionTypes": ["PatchConfigMapKey", "Scale"]}});
        if with_scale {
            world.plan(&[setting(), scale(replicas)]);
        }
        world.incident["status"]["rootCause"]["confidence"] = json!(format!("0.{confidence}"));
        world.now = "2026-03-04T00:00:00Z".parse::<Timestamp>().unwrap().checked_add(SignedDuration::from_hours(hour)).unwrap();
        world.made = world.now;
        for minutes in before {
            let at = world.now.checked_sub(SignedDuration::from_mins(minutes)).ok();
            world.repaired(Repair { at, ..by_policy(minutes) });
        }
        if proven {
            let at = world.now.checked_sub(SignedDuration::from_mins(rested)).ok();
            world.repaired(Repair { at, ..proof() });
        }
        for restriction in &given {
            restrict(&mut world, restriction);
        }
        let less = world.said();
        let mut tighter = world.clone();
        restrict(&mut tighter, &more);
        if tighter.said().is_ok() {
            prop_assert!(less.is_ok(), "{:?} allows what was refused: {:?}", more, less);
        }
    }
}

// The dry run

/// An incident of the past with the approval that a person gave, claimed a minute later.
fn past(name: &str, at: &str, outcome: &str) -> (Incident, RemediationApproval) {
    let mut object = incident(name, &[setting()]);
    object["metadata"]["creationTimestamp"] = json!(at);
    object["spec"]["approvalMode"] = json!("Manual");
    object["status"]["outcome"] = json!(outcome);
    object["status"]["approvalRef"] = json!({"name": name, "uid": format!("approval-{name}")});
    let made: Timestamp = at.parse().unwrap();
    let claimed = made.checked_add(SignedDuration::from_mins(1)).unwrap();
    let approval = json!({
        "apiVersion": "firewatch.dev/v1alpha1", "kind": "RemediationApproval",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("approval-{name}"), "creationTimestamp": at},
        "spec": {"incidentRef": {"name": name, "uid": format!("uid-{name}")}, "planDigest": format!("digest-{name}"), "revision": 1,
            "summary": "s", "risk": "low", "actions": object["status"]["plan"]["actions"], "expiresAt": "2026-03-05T00:00:00Z",
            "requiredApprovals": 1, "decision": "Approved", "approver": "alice"},
        "status": {"claim": {"podUid": "p", "nonce": "0".repeat(32), "at": claimed.to_string()}},
    });
    (
        serde_json::from_value(object).unwrap(),
        serde_json::from_value(approval).unwrap(),
    )
}

fn told(spec: &Value, since: &str) -> Vec<Rehearsed> {
    let (incidents, approvals): (Vec<_>, Vec<_>) = [
        past("first", "2026-03-04T08:00:00Z", "Remediated"),
        past("second", "2026-03-04T09:00:00Z", "Remediated"),
        past("soon", "2026-03-04T09:03:00Z", "Remediated"),
        past("third", "2026-03-04T10:00:00Z", "RemediationFailed"),
    ]
    .into_iter()
    .unzip();
    let namespaces = BTreeMap::from([("shop".to_owned(), BTreeMap::new())]);
    rehearse(
        &[policy("shop", spec)],
        Past {
            incidents: &incidents,
            approvals: &approvals,
            namespaces: &namespaces,
            since: since.parse().unwrap(),
        },
    )
}

fn words(spec: &Value) -> Vec<String> {
    told(spec, "2026-03-01T00:00:00Z")
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one.incident,
                one.verdict.as_ref().map_or_else(Objection::reason, |_| "approved")
            )
        })
        .collect()
}

#[test]
fn the_dry_run_says_of_each_plan_what_the_policy_would_have_said_then() {
    let auto = |more: Value| {
        let mut auto = json!({"maxRisk": "low", "actionTypes": ["PatchConfigMapKey"]});
        auto.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "autoApprove": auto })
    };
    assert_eq!(
        words(&auto(json!({}))),
        ["first approved", "second approved", "soon Cooldown", "third approved"]
    );
    // The first has no past; what is proven by it and the later ones is.
    assert_eq!(
        words(&auto(json!({"onlyVerifiedBefore": true}))),
        [
            "first NotVerifiedBefore",
            "second approved",
            "soon Cooldown",
            "third approved"
        ]
    );
    // Its own approvals count towards its own limit.
    let mut spec = auto(json!({"maxPerHour": 1}));
    spec["cooldown"] = json!(0);
    assert_eq!(
        words(&spec),
        ["first approved", "second approved", "soon TooMany", "third approved"]
    );
    assert_eq!(words(&json!({}))[0], "first AutoApproveOff");
    let mut off = auto(json!({}));
    off["suspended"] = json!(true);
    assert_eq!(
        words(&off)[0],
        "first approved",
        "a switch that is on now was not on then"
    );
}

#[test]
fn the_dry_run_leaves_out_what_is_too_old_but_remembers_it() {
    let spec =
        json!({"autoApprove": {"maxRisk": "low", "actionTypes": ["PatchConfigMapKey"], "onlyVerifiedBefore": true}});
    let told = told(&spec, "2026-03-04T08:30:00Z");
    assert_eq!(
        told.iter().map(|one| one.incident.as_str()).collect::<Vec<_>>(),
        ["second", "soon", "third"]
    );
    assert!(told[0].verdict.is_ok());
    assert_eq!(told[2].outcome.as_deref(), Some("RemediationFailed"));
}
