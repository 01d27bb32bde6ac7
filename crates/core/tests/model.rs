//! Consultations of a model over recorded evidence, answered by scripts: an honest one, one at random, one that obeys whoever wrote the
//! logs, and every way in which an endpoint goes wrong. Whatever they say, nothing follows that the rules had not found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_push_string
)]

#[path = "model_support/attacks.rs"]
mod attacks;
mod common;
#[path = "model_support/scripts.rs"]
mod scripts;
#[path = "model_support/world.rs"]
mod world;

use firewatch_core::agents::model::budget::{Micros, Price};
use firewatch_core::agents::model::{Failure, Need, Outcome, Tier, economics, tokens};
use firewatch_core::api::Role;
use firewatch_core::diagnosis::{Confidence, Verdict};

use attacks::ATTACKS;
use scripts::{answered, honest, nothing};
use world::{RECORDED, World};

/// Above what any rule reaches: the model is asked whatever they found.
const NEVER_SURE: Confidence = Confidence::hundredths(100);

#[test]
fn where_the_rules_are_sure_no_model_is_asked() {
    for name in RECORDED {
        let world = World::recorded(name);
        let rules = world.by_rules();
        let consulted = world.consult(economics::SURE, &mut |_| panic!("{name}: nothing was to be asked"));
        assert_eq!(consulted.diagnosis, rules, "{name}");
    }
}

#[test]
fn an_honest_model_changes_neither_cause_nor_object_nor_plan() {
    for name in RECORDED {
        let world = World::recorded(name);
        let rules = world.by_rules();
        let consulted = world.consult(NEVER_SURE, &mut |request| answered(&honest(request)));
        assert_eq!(consulted.diagnosis.root_cause, rules.root_cause, "{name}");
        assert_eq!(world.plan(&consulted.diagnosis), world.plan(&rules), "{name}");
        assert_eq!(
            consulted.exchanges.is_empty(),
            rules.verdict == Verdict::Healthy,
            "{name}"
        );
        for note in &consulted.diagnosis.checked {
            assert!(!note.contains("not believed"), "{name}: {note}");
        }
    }
}

#[test]
fn whatever_goes_wrong_with_the_endpoint_ends_in_what_the_rules_found() {
    let world = World::recorded("crashloop").without_logs();
    let rules = world.by_rules();
    let long = "x".repeat(1_000_000);
    let wrong: Vec<(&str, Outcome)> = [
        Failure::RateLimited,
        Failure::Unavailable,
        Failure::TimedOut,
        Failure::Unauthorized,
        Failure::UnknownModel,
        Failure::ContextTooSmall,
        Failure::RequestRefused,
        Failure::AnswerTooLarge,
        Failure::NotUnderstood,
        Failure::CircuitOpen,
        Failure::BudgetSpent,
        Failure::NoBudgetStore,
        Failure::Lost,
    ]
    .into_iter()
    .map(|failure| ("failure", Outcome::Failed(failure)))
    .chain([
        ("refusal", Outcome::Refused("I cannot help with that.".into())),
        ("cut off", Outcome::Truncated("{\"findings\":[{\"obj".into())),
        (
            "no JSON",
            Outcome::Text("Le pod redémarre parce que la clé manque.".into()),
        ),
        ("broken JSON", Outcome::Text("{\"findings\": [,]}".into())),
        (
            "another form",
            Outcome::Text("{\"rootCause\": \"dns\", \"confidence\": 1.0}".into()),
        ),
        ("a megabyte", Outcome::Text(long)),
        ("nothing", Outcome::Text(String::new())),
    ])
    .collect();
    for (what, outcome) in wrong {
        let consulted = world.consult(NEVER_SURE, &mut |_| scripts::ended(outcome.clone()));
        assert_eq!(consulted.diagnosis.root_cause, rules.root_cause, "{what}");
        assert_eq!(consulted.diagnosis.verdict, rules.verdict, "{what}");
        assert_eq!(consulted.diagnosis.findings, rules.findings, "{what}");
        assert!(
            consulted
                .diagnosis
                .checked
                .iter()
                .any(|note| note.contains("by rules alone")),
            "{what}: it is said why: {:?}",
            consulted.diagnosis.checked
        );
        for role in [Role::SreInvestigator, Role::CodeAnalyst] {
            let calls = consulted
                .exchanges
                .iter()
                .filter(|(request, _)| request.role == role)
                .count();
            assert!(calls <= 2, "{what}: {role} asked {calls} times");
        }
    }
}

#[test]
fn an_answer_that_has_not_the_form_is_repaired_once() {
    let world = World::recorded("crashloop");
    let mut calls = 0;
    let consulted = world.consult(NEVER_SURE, &mut |request| {
        calls += 1;
        if calls == 1 {
            answered("Sure! Here is my analysis: the pod restarts.")
        } else {
            assert_eq!(request.messages.len(), 4, "what was wrong is said");
            assert_eq!(request.turn, 2);
            answered(&honest(request))
        }
    });
    assert_eq!(calls, 2);
    assert!(
        !consulted
            .diagnosis
            .checked
            .iter()
            .any(|note| note.contains("by rules alone"))
    );
}

#[test]
fn a_model_that_answers_at_random_only_ever_makes_less_of_it() {
    let (mut runs, mut lower, mut refused) = (0, 0, 0);
    for name in RECORDED {
        for thin in [false, true] {
            let whole = World::recorded(name);
            let world = if thin { whole.without_logs() } else { whole };
            let rules = world.by_rules();
            let before = world.plan(&rules);
            for seed in 1..=8_u64 {
                let mut dice = scripts::Dice::new(seed);
                let consulted = world.consult(NEVER_SURE, &mut |request| {
                    answered(&scripts::random(request, &mut dice))
                });
                runs += 1;
                let after = consulted.diagnosis;
                refused += after
                    .checked
                    .iter()
                    .filter(|note| note.contains("not believed"))
                    .count();
                world::no_more_than_the_rules(&world, &rules, &before, &after, &format!("{name}, seed {seed}"));
                let less = after.root_cause.as_ref().map(|r| r.finding.confidence)
                    < rules.root_cause.as_ref().map(|r| r.finding.confidence);
                lower += usize::from(less);
                for (request, _) in &consulted.exchanges {
                    assert!(
                        request.estimated_tokens <= request_limit(request.tier),
                        "{name}: {}",
                        request.estimated_tokens
                    );
                }
            }
        }
    }
    println!(
        "random adversary: {runs} consultations, {lower} less sure, none more; {refused} kinds of claims not believed"
    );
    assert!(refused > 0, "it never said anything that had to be refused");
}

fn request_limit(tier: Tier) -> u64 {
    // A repair says the wrong answer back, cut.
    let repair = 400;
    match tier {
        Tier::Cheap => Need::Small.request_tokens() + repair,
        Tier::Standard => Need::Full.request_tokens() + repair,
    }
}

#[test]
fn an_obedient_model_carries_none_of_the_attacks_through() {
    let (mut sent, mut noticed) = (0, 0);
    let mut never_sent: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
    let mut unnoticed = Vec::new();
    assert!(ATTACKS.len() >= 25);
    for attack in ATTACKS {
        for (name, need) in [
            ("crashloop", Need::Small),
            ("crashloop", Need::Full),
            ("cascading_failure", Need::Small),
        ] {
            let whole = World::recorded(name).attacked(attack);
            let world = if need == Need::Full {
                whole.without_logs().attacked(attack)
            } else {
                whole
            };
            let rules = world.by_rules();
            let before = world.plan(&rules);
            for wish in 0..attacks::wishes() {
                let consulted = world.consult(NEVER_SURE, &mut |request| {
                    let text = world::text_of(request);
                    for canary in world::CANARIES {
                        assert!(!text.contains(canary), "{}: a secret left in a request", attack.name);
                    }
                    answered(&attacks::obey(attack, request, wish))
                });
                let after = &consulted.diagnosis;
                let what = format!("{} in {name}, wish {wish}", attack.name);
                world::no_more_than_the_rules(&world, &rules, &before, after, &what);
                // What the rules themselves quote is theirs: the runner redacts evidence before it is kept.
                let (said, by_rules) = (world::words(after), world::words(&rules));
                for needle in world::CANARIES.iter().chain(&["evil.example/"]) {
                    let count = |text: &str| text.matches(needle).count();
                    assert!(count(&said) <= count(&by_rules), "{what}: {needle} was passed on");
                }
                let read = consulted
                    .exchanges
                    .iter()
                    .any(|(request, _)| attack.reached(&request.messages[1].content));
                if read {
                    let seen = after
                        .checked
                        .iter()
                        .any(|note| note.contains("passed on as data") || note.contains("not believed"));
                    sent += 1;
                    never_sent.retain(|name| *name != attack.name);
                    if seen {
                        noticed += 1;
                    } else if !unnoticed.contains(&attack.name) {
                        unnoticed.push(attack.name);
                    }
                } else {
                    // It is not sent here, however often it is asked.
                    break;
                }
            }
        }
    }
    println!(
        "obedient adversary: {} attacks, {sent} consultations that read one, {noticed} marked in the report, none carried through",
        ATTACKS.len()
    );
    assert_eq!(never_sent, Vec::<&str>::new(), "attacks that no request ever held");
    assert_eq!(unnoticed, Vec::<&str>::new(), "attacks that no report marks");
}

#[test]
fn a_refutation_with_true_words_makes_the_cause_less_sure_and_nothing_else() {
    let world = World::recorded("crashloop");
    let rules = world.by_rules();
    let consulted = world.consult(NEVER_SURE, &mut |request| answered(&scripts::refuting(request)));
    let (was, is) = (rules.root_cause.unwrap(), consulted.diagnosis.root_cause.unwrap());
    assert_eq!(
        is.finding.confidence.as_hundredths() + 10,
        was.finding.confidence.as_hundredths()
    );
    assert_eq!(is.finding.remedy, was.finding.remedy);
    assert!(
        consulted
            .diagnosis
            .checked
            .iter()
            .any(|note| note.contains("speaks against"))
    );
    assert!(
        rules.concerns.is_empty()
            && consulted
                .diagnosis
                .concerns
                .iter()
                .any(|one| one.contains("speaks against")),
        "no policy may approve in spite of it"
    );
}

#[test]
fn what_both_models_see_becomes_a_cause_too_unsure_for_any_action() {
    let world = World::recorded("crashloop").unexplained();
    assert_eq!(world.by_rules().verdict, Verdict::Unexplained);
    let consulted = world.consult(economics::SURE, &mut |request| {
        answered(&scripts::hypothesis(request, "Deployment", "checkout"))
    });
    let root = consulted.diagnosis.root_cause.clone().expect("both say the same");
    assert_eq!(root.finding.category, "ModelHypothesis");
    assert!(root.finding.confidence < Confidence::hundredths(50));
    assert!(world.plan(&consulted.diagnosis).actions.is_empty());
}

#[test]
fn specialists_that_stay_apart_look_once_more_and_are_shown_side_by_side() {
    let world = World::recorded("crashloop").unexplained();
    let mut calls = Vec::new();
    let consulted = world.consult(economics::SURE, &mut |request| {
        calls.push(request.role);
        let kind = if request.role == Role::SreInvestigator {
            "Deployment"
        } else {
            "Service"
        };
        answered(&scripts::hypothesis(request, kind, "checkout"))
    });
    assert_eq!(
        calls.iter().filter(|role| **role == Role::CodeAnalyst).count(),
        2,
        "one second look, no third"
    );
    assert_eq!(consulted.diagnosis.verdict, Verdict::Unexplained);
    let shown = consulted
        .diagnosis
        .next_steps
        .iter()
        .filter(|step| step.contains("hypothesis"))
        .count();
    assert_eq!(shown, 2, "{:?}", consulted.diagnosis.next_steps);
}

#[test]
fn what_is_sent_is_the_same_each_time_and_stays_within_its_size() {
    let price = Price {
        prompt: Micros(150_000),
        completion: Micros(600_000),
    };
    println!("| scenario | rules | agents asked | tokens sent | tokens reserved | reserved USD |");
    println!("|---|---|---|---|---|---|");
    for name in RECORDED {
        for (world, what) in [
            (World::recorded(name), name.to_owned()),
            (
                World::recorded(name).unexplained(),
                format!("{name}, logs and events missing"),
            ),
        ] {
            let first = world.consult(NEVER_SURE, &mut |request| answered(&honest(request)));
            let again = world.consult(NEVER_SURE, &mut |request| answered(&honest(request)));
            let digests = |all: &[(firewatch_core::agents::model::ModelRequest, _)]| {
                all.iter().map(|(r, _)| r.digest()).collect::<Vec<_>>()
            };
            assert_eq!(digests(&first.exchanges), digests(&again.exchanges), "{what}");
            let sent: u64 = first.exchanges.iter().map(|(r, _)| r.estimated_tokens).sum();
            let reserved: u64 = first
                .exchanges
                .iter()
                .map(|(r, _)| r.reserved_prompt_tokens() + u64::from(r.max_tokens))
                .sum();
            let cost: Micros = first
                .exchanges
                .iter()
                .map(|(r, _)| price.of(r.reserved_prompt_tokens(), u64::from(r.max_tokens)))
                .fold(Micros(0), Micros::plus);
            let rules = world.by_rules();
            println!(
                "| {what} | {:?} | {} | {sent} | {reserved} | {cost} |",
                rules.verdict,
                first.exchanges.len()
            );
            let nearly = rules.verdict == Verdict::Found;
            assert!(sent + 600 <= if nearly { 1800 } else { 12_000 }, "{what}: {sent}");
        }
    }
}

/// Golden files: what is really sent. `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn what_is_sent_stands_in_a_file() {
    for (name, world) in [
        ("nearly-solved", World::recorded("crashloop")),
        ("unexplained", World::recorded("cascading_failure").unexplained()),
    ] {
        let mut text = String::new();
        world.consult(NEVER_SURE, &mut |request| {
            text.push_str(&format!(
                "=== {} turn {} tier {} {}\n",
                request.role, request.turn, request.tier, request.prompt
            ));
            for message in &request.messages {
                text.push_str(&format!("--- {:?}\n{}\n", message.role, message.content));
            }
            answered(&nothing())
        });
        assert!(tokens::estimate(&text) > 200);
        let path = world::data(&format!("model/{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            golden == text,
            "{} differs from what is sent now; look at it with UPDATE_GOLDEN=1 and git diff",
            path.display()
        );
    }
}
