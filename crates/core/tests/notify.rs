//! What is told to people: which transitions, to which channels, in which words, and that text of a cluster stays text in each form.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use firewatch_core::api::status::{OutboxEntry, Phase};
use firewatch_core::api::{Incident, Outcome, Severity};
use firewatch_core::intake::pagerduty::mark;
use firewatch_core::notify::notice::{self, Notice, Occasion};
use firewatch_core::notify::pause::Patience;
use firewatch_core::notify::{cloudevent, email, pagerduty, routing, signature, slack, words};
use serde_json::{Value, json};

fn incident() -> Incident {
    serde_json::from_str(include_str!("../../../tests/data/report/incident.json")).unwrap()
}

fn entry(from: &str, to: &str) -> OutboxEntry {
    serde_json::from_value(json!({
        "sequence": 7, "at": "2026-03-01T03:02:11Z", "from": from, "to": to, "actor": "commander", "reason": "VerificationPassed",
        "message": "the plan was carried out, and fresh evidence shows the cause gone", "payloadDigest": "", "previousHash": "", "hash": "",
    }))
    .unwrap()
}

fn ended() -> Notice {
    notice::notice(&incident(), &entry("Verifying", "Completed")).unwrap()
}

fn awaiting() -> Incident {
    let mut incident = incident();
    let status = incident.status.as_mut().unwrap();
    (status.phase, status.outcome, status.execution, status.verification) = (Phase::AwaitingApproval, None, None, None);
    incident
}

fn asks() -> Notice {
    notice::notice(&awaiting(), &entry("Reviewing", "AwaitingApproval")).unwrap()
}

/// `UPDATE_GOLDEN=1` writes them anew.
fn is_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/notify")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    // The order of keys is no part of a document.
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into());
    assert!(
        read(&golden) == read(text),
        "{} differs from what is sent now; look at it with UPDATE_GOLDEN=1 and git diff",
        path.display()
    );
}

fn pretty(value: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap())
}

#[test]
fn what_begins_asks_acts_and_ends_is_told_and_nothing_else() {
    use Outcome::{Cancelled, Duplicate, Escalated, Remediated};
    #[rustfmt::skip]
    let table = [
        ("Pending", "Triaging", None, Some(Occasion::Opened)),
        ("Blocked", "Triaging", None, Some(Occasion::Opened)),
        ("Pending", "Blocked", None, None),
        ("Blocked", "Blocked", None, None),
        ("Triaging", "Investigating", None, None),
        ("Investigating", "Investigating", None, None),
        ("Diagnosing", "Planning", None, None),
        ("Reviewing", "AwaitingApproval", None, Some(Occasion::ApprovalNeeded)),
        ("AwaitingApproval", "Planning", None, None),
        ("AwaitingApproval", "Executing", None, Some(Occasion::Executing)),
        ("Verifying", "RollingBack", None, Some(Occasion::RollingBack)),
        ("Verifying", "Completed", Some(Remediated), Some(Occasion::Ended)),
        ("Investigating", "Completed", Some(Cancelled), Some(Occasion::Ended)),
        // Quiet: what was a duplicate, and what ended before anything was told of it.
        ("Blocked", "Completed", Some(Duplicate), None),
        ("Verifying", "Completed", Some(Duplicate), None),
        ("Blocked", "Completed", Some(Cancelled), None),
        // But an alert without a target needs a person.
        ("Pending", "Completed", Some(Escalated), Some(Occasion::Ended)),
    ];
    for (from, to, outcome, expected) in table {
        assert_eq!(
            notice::occasion(&entry(from, to), outcome),
            expected,
            "{from} -> {to} {outcome:?}"
        );
    }
}

#[test]
fn every_form_of_a_notice_is_as_it_was_looked_at() {
    is_golden("slack-asks.json", &pretty(&slack::message(&asks())));
    is_golden("slack-ended.json", &pretty(&slack::message(&ended())));
    is_golden("slack-card.json", &pretty(&slack::card(&asks())));
    is_golden("cloudevent.json", &pretty(&cloudevent::event(&ended())));
    is_golden(
        "email.txt",
        &format!("{}\n\n{}", email::subject(&asks()), email::body(&asks())),
    );
}

#[test]
fn a_request_shows_the_exact_steps_and_the_complete_line_and_nothing_that_could_be_pressed() {
    let notice = asks();
    let sent = slack::message(&notice).to_string();
    let line = notice.approve.clone().unwrap();
    assert!(line.starts_with("kubectl patch rap checkout-restarts-00000000000000000000000000000000 -n shop"));
    // As JSON text, the line stands there whole.
    let quoted = json!(line).to_string();
    assert!(sent.contains(quoted.trim_matches('"')), "{sent}");
    let step = json!(notice.plan.as_ref().unwrap().steps[0].command).to_string();
    assert!(sent.contains(step.trim_matches('"')), "{sent}");
    for pressed in ["actions", "button", "action_id"] {
        assert!(!sent.contains(pressed), "{pressed}");
    }
    assert!(words::text(&notice).contains(&line));
}

#[test]
fn a_line_that_would_no_longer_work_is_not_shown() {
    let late = notice::notice(&incident(), &entry("Reviewing", "AwaitingApproval")).unwrap();
    assert_eq!(late.approve, None);
    assert!(!words::text(&late).contains("kubectl patch rap"));
}

#[test]
fn hostile_text_stays_text_in_slack() {
    let mut hostile = awaiting();
    let attack = "<!channel> @here @everyone <https://evil.example|Approve> & ``` *x* \u{202e}\u{1b}[31m\n<@U1>";
    hostile.spec.title = attack.to_owned();
    let status = hostile.status.as_mut().unwrap();
    status.root_cause.as_mut().unwrap().summary = attack.repeat(40);
    let plan = status.plan.as_mut().unwrap();
    plan.summary = attack.to_owned();
    plan.actions[0].command = vec!["kubectl".into(), attack.repeat(60)];
    plan.actions[0].impact = attack.repeat(200);
    let notice = notice::notice(&hostile, &entry("Reviewing", "AwaitingApproval")).unwrap();
    for message in [slack::message(&notice), slack::card(&notice)] {
        let mut texts = vec![message["text"].as_str().unwrap()];
        for block in message["blocks"].as_array().unwrap() {
            let parts = block
                .get("text")
                .into_iter()
                .chain(block["elements"].as_array().into_iter().flatten());
            for part in parts {
                let text = part["text"].as_str().unwrap();
                let most = if block["type"] == "header" { 150 } else { 3000 };
                assert!(
                    text.chars().count() <= most,
                    "{} characters: {text}",
                    text.chars().count()
                );
                if part["type"] == "mrkdwn" {
                    assert_eq!(part["verbatim"], true);
                    assert_eq!(text.matches("```").count(), 2, "the fence is left: {text}");
                }
                texts.push(text);
            }
        }
        for text in texts {
            for forbidden in ["<", ">", "@here", "@channel", "@everyone", "\u{202e}", "\u{1b}"] {
                assert!(!text.contains(forbidden), "{forbidden:?} in {text}");
            }
            for cut in text.match_indices('&') {
                let rest = &text[cut.0..];
                assert!(
                    ["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity)),
                    "{rest}"
                );
            }
        }
        assert!(message["blocks"].as_array().unwrap().len() <= 50);
        assert_eq!(
            (&message["mrkdwn"], &message["unfurl_links"]),
            (&json!(false), &json!(false))
        );
    }
    assert!(!email::subject(&notice).contains(['\n', '\r']));
}

#[test]
fn secrets_are_taken_out_of_everything_that_leaves() {
    let secret = "AKIAIOSFODNN7EXAMPLE";
    let mut leaky = awaiting();
    leaky.spec.title = format!("key {secret}");
    let status = leaky.status.as_mut().unwrap();
    status.root_cause.as_mut().unwrap().summary = format!("the log says {secret}");
    status.plan.as_mut().unwrap().actions[0]
        .command
        .push(format!("--x={secret}"));
    status.plan.as_mut().unwrap().summary = format!("use {secret}");
    let notice = notice::notice(&leaky, &entry("Reviewing", "AwaitingApproval")).unwrap();
    let all = [
        slack::message(&notice).to_string(),
        slack::card(&notice).to_string(),
        cloudevent::event(&notice).to_string(),
        email::body(&notice),
        email::subject(&notice),
    ];
    for sent in all {
        assert!(!sent.contains(secret), "{sent}");
    }
}

#[test]
fn a_webhook_is_signed_over_its_time_and_body() {
    // openssl: printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
    assert_eq!(
        signature::sign(b"secret", 1_700_000_000, b"{}").unwrap(),
        "v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    );
    assert_ne!(
        signature::sign(b"secret", 1, b"{}"),
        signature::sign(b"secret", 2, b"{}")
    );
    assert_eq!(signature::sign(b"", 1, b"{}"), None);
}

fn of_pagerduty(known: bool) -> Incident {
    let mut incident = incident();
    let alert = incident.spec.alert.as_mut().unwrap();
    *alert = serde_json::from_value(json!({ "source": "pagerduty", "fingerprint": "Q1" })).unwrap();
    let seen = if known { vec![mark("Q1")] } else { vec![mark("Q2")] };
    incident.status.as_mut().unwrap().alerts = Some(
        serde_json::from_value(json!({ "firing": 1, "lastReceivedAt": "2026-03-01T03:00:00Z", "seen": seen })).unwrap(),
    );
    incident
}

#[test]
fn pagerduty_is_acknowledged_resolved_and_noted_only_for_what_came_from_there() {
    let of = |from: &str, to: &str| {
        let notice = notice::notice(&of_pagerduty(true), &entry(from, to)).unwrap();
        pagerduty::requests(&notice)
            .iter()
            .map(|r| format!("{} {} {}", r.method, r.path, r.body["incident"]["status"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("Pending", "Triaging"),
        ["PUT /incidents/Q1 \"acknowledged\"", "POST /incidents/Q1/notes null"]
    );
    assert_eq!(of("Reviewing", "AwaitingApproval"), of("Pending", "Triaging"));
    assert_eq!(
        of("Verifying", "Completed"),
        ["PUT /incidents/Q1 \"resolved\"", "POST /incidents/Q1/notes null"]
    );
    let mut escalated = of_pagerduty(true);
    escalated.status.as_mut().unwrap().outcome = Some(Outcome::Escalated);
    let notice = notice::notice(&escalated, &entry("Verifying", "Completed")).unwrap();
    assert_eq!(
        pagerduty::requests(&notice).len(),
        1,
        "a person must go on: it is not resolved"
    );
    // A spec alone is anybody's word.
    let forged = notice::notice(&of_pagerduty(false), &entry("Verifying", "Completed")).unwrap();
    assert!(pagerduty::requests(&forged).is_empty());
    assert!(pagerduty::requests(&ended()).is_empty());
}

const CHANNELS: &str = "
channels:
- {name: ops, kind: slack-webhook, urlFile: /s/url}
- {name: pay, kind: slack-app, tokenFile: /s/token, channel: C0123456789}
- {name: hook, kind: webhook, url: 'https://hooks.example/x', secretFile: /s/secret}
- {name: pd, kind: pagerduty, tokenFile: /s/token, from: ops@example.com}
- {name: mail, kind: email, host: mail.example.com, from: fw@example.com, to: [ops@example.com], usernameFile: /s/u, passwordFile: /s/p}
";

#[test]
fn a_notice_goes_where_routes_lead_it() {
    let routes = "routes:
- {channels: [ops, mail], minSeverity: high}
- {channels: [pay], namespaces: [shop, 'team-*'], labels: {service: checkout}, occasions: [approvalNeeded, ended]}
- {channels: [hook, pd]}
";
    let plan = routing::parse(&format!("{CHANNELS}{routes}")).unwrap();
    let names = |plan: &routing::Plan, notice: &Notice, labels: &[(&str, &str)]| {
        let labels: BTreeMap<String, String> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        plan.channels_for(notice, &labels)
            .iter()
            .map(|c| c.name.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let checkout = [("service", "checkout")];
    assert_eq!(names(&plan, &ended(), &checkout), "ops pay hook mail");
    assert_eq!(names(&plan, &ended(), &[]), "ops hook mail");
    let mut notice = ended();
    notice.severity = Some(Severity::Low);
    assert_eq!(names(&plan, &notice, &checkout), "pay hook");
    notice.severity = None;
    notice.namespace = "team-a".into();
    notice.occasion = Occasion::Opened;
    notice.pagerduty = Some("Q1".into());
    assert_eq!(names(&plan, &notice, &checkout), "hook pd");
    notice.occasion = Occasion::ApprovalNeeded;
    assert_eq!(names(&plan, &notice, &checkout), "pay hook pd");
    let everything = routing::parse(CHANNELS).unwrap();
    assert_eq!(names(&everything, &ended(), &[]), "ops pay hook mail");
    assert_eq!(routing::parse("{}").unwrap(), routing::Plan::default());
}

#[test]
fn what_is_wrong_in_the_file_is_named_by_its_field() {
    let channel = |text: &str| format!("channels: [{text}]");
    #[rustfmt::skip]
    let table = [
        (channel("{name: a, kind: slack-webhook}"), "channels[0].urlFile: a channel of kind slack-webhook needs it"),
        (channel("{name: a, kind: slack-webhook, urlFile: /x, url: 'https://x'}"), "channels[0].url: a channel of kind slack-webhook has none"),
        (channel("{name: 'a b', kind: slack-webhook, urlFile: /x}"), "channels[0].name: use 1 to 63"),
        (channel("{name: a, kind: slack-webhook, urlFile: /x}, {name: a, kind: slack-webhook, urlFile: /x}"), "channels[1].name: a is there twice"),
        (channel("{name: a, kind: slack-app, tokenFile: /x, channel: '#ops'}"), "channels[0].channel: give the channel's id"),
        (channel("{name: a, kind: webhook, secretFile: /x}"), "channels[0].url: give url or urlFile"),
        (channel("{name: a, kind: webhook, secretFile: /x, url: hooks.example}"), "channels[0].url: is no address"),
        (channel("{name: a, kind: email, host: h, from: x, to: [a@b]}"), "channels[0].from: \"x\" is no address"),
        (channel("{name: a, kind: email, host: h, from: 'a@b', to: ['a@b, c@d']}"), "channels[0].to: \"a@b, c@d\" is no address"),
        (channel("{name: a, kind: email, host: h, from: 'a@b', to: ['a@b'], usernameFile: /x}"), "channels[0].passwordFile: "),
        (channel("{name: a, kind: email, host: h, from: 'a@b', to: ['a@b'], tls: none, usernameFile: /x, passwordFile: /x}"), "channels[0].tls: "),
        (format!("{CHANNELS}routes: [{{channels: [nobody]}}]"), "routes[0].channels: \"nobody\" is none"),
        (format!("{CHANNELS}routes: [{{channels: []}}]"), "routes[0].channels: is empty"),
        (format!("{CHANNELS}routes: [{{channels: [ops], namespaces: ['a*b']}}]"), "routes[0].namespaces: \"a*b\""),
        (format!("{CHANNELS}routes: [{{channels: [ops]}}]"), "routes: no route leads to the channel"),
        (channel("{name: a, kind: carrier-pigeon}"), "carrier-pigeon"),
        (channel("{name: a, kind: slack-webhook, urlFile: /x, colour: red}"), "colour"),
        (format!("{CHANNELS}routes: [{{channels: [ops], minSeverity: urgent}}]"), "urgent"),
        ("channels: 7".to_owned(), "notifications: "),
    ];
    for (text, expected) in table {
        let fault = routing::parse(&text).expect_err(&text).to_string();
        assert!(fault.contains(expected), "{text}\n{fault}");
    }
}

#[test]
fn pauses_grow_by_chance_and_have_an_end() {
    let patience = Patience {
        first: Duration::from_secs(2),
        most: Duration::from_mins(30),
        tries: 60,
    };
    assert_eq!(patience.after(1, 0), Duration::from_secs(1));
    assert_eq!(patience.after(1, 999), Duration::from_millis(1999));
    assert_eq!(patience.after(4, 0), Duration::from_secs(8));
    assert_eq!(patience.after(60, 0), Duration::from_mins(15));
    assert!(patience.after(i32::MAX, u32::MAX) <= patience.most);
    let whole: Duration = (1..patience.tries).map(|n| patience.after(n, 500)).sum();
    assert!(
        whole > Duration::from_hours(18),
        "{whole:?}: a receiver that is down for a night loses nothing"
    );
}
