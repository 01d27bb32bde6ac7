//! The HTML report: hostile text stays text, the file loads nothing, and recordings make pages that tell their cause.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

use firewatch_core::api::{Incident, RemediationApproval};
use firewatch_core::diagnosis::recording::FILE;
use firewatch_core::report::timeline::{Timeline, timeline};
use firewatch_core::report::{ApprovalRow, StoryView, document};
use k8s_openapi::jiff::Timestamp;
use kubectl_incident::{html, recordings};
use scraper::{Html, Node, Selector};
use serde_json::{Value, json};

/// Text that has become markup somewhere, once.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg onload=alert(1)>",
    "</pre></details><iframe src=javascript:alert(1)></iframe>",
    "</title></style><h1>Approved</h1>",
    "</svg><a href=\"https://evil.example/\">go on</a>",
    "<!--",
    "-->",
    "<![CDATA[x]]>",
    "]]><b>",
    "<meta http-equiv=refresh content=0;url=https://evil.example/>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example/><input autofocus onfocus=alert(1)>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>*{background:url(//evil.example/x)}</style>",
    "<math><mi xlink:href=\"data:x,<script>alert(1)</script>\">",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;img src=x&#62;",
    "{{ 7*7 }}{% include \"/etc/passwd\" %}",
    "${7*7}",
    "<%= 7*7 %>",
    "\u{202e}tpircs\u{202c}",
    "\u{0}<\u{0}script>",
    "a\u{1b}[31mred",
    "` onmouseover=alert(1) x=`",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "<\u{ff53}cript>",
    "%3Cscript%3E",
    "\\u003cscript\\u003e",
];

fn data(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data/report")
        .join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The repaired incident, with evidence and with the times that its conditions keep.
fn incident() -> Value {
    let mut incident = data("incident.json");
    let status = &mut incident["status"];
    status["evidence"] = json!([
        {"id": "E1", "agent": "sre-investigator", "command": "kubectl get pods -n shop", "state": "Complete", "sha256": "sha256:1"},
        {"id": "E2", "agent": "code-analyst", "command": "kubectl logs checkout-7d4-x2", "state": "Truncated", "sha256": "sha256:2"},
        {"id": "E10", "agent": "sre-investigator", "command": "kubectl get configmaps -n shop", "state": "Complete", "sha256": "sha256:3"},
    ]);
    let condition = |type_: &str, at: &str| json!({"type": type_, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": format!("2026-03-01T{at}Z")});
    status["conditions"] = json!([
        condition("Triaged", "03:00:03"),
        condition("Investigated", "03:00:20"),
        condition("Diagnosed", "03:00:21"),
        condition("Planned", "03:00:22"),
        condition("Approved", "03:01:30"),
        condition("Executed", "03:01:34"),
        condition("Verified", "03:02:11"),
    ]);
    status["agents"][0]["startedAt"] = "2026-03-01T03:00:03Z".into();
    status["agents"][0]["finishedAt"] = "2026-03-01T03:00:20Z".into();
    status["agents"][1]["startedAt"] = "2026-03-01T03:00:03Z".into();
    status["agents"][1]["finishedAt"] = "2026-03-01T03:00:12Z".into();
    incident
}

fn now() -> Timestamp {
    "2026-03-01T04:00:00Z".parse().unwrap()
}

fn pieces(incident: &Value, approval: &Value) -> (Incident, RemediationApproval, Option<Timeline>) {
    let incident: Incident = serde_json::from_value(incident.clone()).unwrap();
    let approval: RemediationApproval = serde_json::from_value(approval.clone()).unwrap();
    let timeline = timeline(&incident, Some(&approval), now());
    (incident, approval, timeline)
}

fn page(incident: &Value, approval: &Value) -> String {
    let (incident, approval, timeline) = pieces(incident, approval);
    let view = StoryView::with_approval(&incident, Some(ApprovalRow::of(&approval)));
    html::report(&document(&incident, &view), timeline.as_ref(), now()).unwrap()
}

/// Every element with its attributes, in order; the text is left out.
fn skeleton(html: &Html) -> Vec<String> {
    html.tree
        .nodes()
        .filter_map(|node| match node.value() {
            Node::Element(element) => {
                let attributes: BTreeSet<String> =
                    element.attrs().map(|(name, value)| format!("{name}={value}")).collect();
                Some(format!("{} {attributes:?}", element.name()))
            }
            Node::Comment(_) | Node::ProcessingInstruction(_) => Some("comment".to_owned()),
            _ => None,
        })
        .collect()
}

/// Puts `hostile` in place of every text that people or programs write freely; what is of a closed set stays.
fn poison(value: &mut Value, key: &str, hostile: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                poison(value, key, hostile);
            }
        }
        Value::Array(list) => {
            for value in list {
                poison(value, key, hostile);
            }
        }
        Value::String(text) => {
            let free = matches!(
                key,
                "title"
                    | "description"
                    | "name"
                    | "namespace"
                    | "requestedBy"
                    | "summary"
                    | "message"
                    | "rationale"
                    | "chain"
                    | "alternatives"
                    | "category"
                    | "command"
                    | "impact"
                    | "rollback"
                    | "longTermFixes"
                    | "reasons"
                    | "conditions"
                    | "observed"
                    | "result"
                    | "nextSteps"
                    | "sha256"
                    | "confidence"
                    | "digest"
                    | "field"
                    | "from"
                    | "to"
                    | "container"
                    | "kind"
                    | "diff"
                    | "manualReason"
                    | "approver"
                    | "reason"
                    | "lastHash"
                    | "costUsd"
                    | "service"
            );
            let closed = ["outage", "degraded", "none", "unknown"].contains(&text.as_str());
            if free && !closed {
                hostile.clone_into(text);
            }
        }
        _ => {}
    }
}

#[test]
fn hostile_text_never_becomes_an_element_or_an_attribute() {
    let mut plain = incident();
    let mut approval = data("approval.json");
    let set = |value: &mut Value, text: &str| {
        poison(&mut value["spec"], "", text);
        for key in value["status"].as_object().unwrap().keys().cloned().collect::<Vec<_>>() {
            // Its type and status are of a closed set, and its times are what the picture is made of.
            if key != "conditions" {
                poison(&mut value["status"][key.as_str()], &key, text);
            }
        }
        value["metadata"]["name"] = text.into();
        value["metadata"]["namespace"] = text.into();
    };
    // One word in place of all, so that the pages differ in their text alone.
    set(&mut plain, "word");
    poison(&mut approval["spec"], "", "word");
    let expected = skeleton(&Html::parse_document(&page(&plain, &approval)));
    assert!(expected.len() > 150, "the page is all there: {}", expected.len());

    for hostile in HOSTILE {
        let mut bad = incident();
        set(&mut bad, hostile);
        poison(&mut approval["spec"], "", hostile);
        let text = page(&bad, &approval);
        let html = Html::parse_document(&text);
        let found = skeleton(&html);
        let first = expected.iter().zip(&found).find(|(wanted, is)| wanted != is);
        assert!(
            found == expected,
            "{hostile:?} made markup: {first:?}, {} for {}",
            found.len(),
            expected.len()
        );
        assert!(
            !text.contains('\u{202e}') && !text.contains('\u{1b}') && !text.contains('\u{0}'),
            "{hostile:?}"
        );
        // It is told all the same.
        let heading = html
            .select(&Selector::parse("h1").unwrap())
            .next()
            .unwrap()
            .text()
            .collect::<String>();
        let readable: String = hostile.chars().filter(char::is_ascii_graphic).collect();
        let shown: String = heading.chars().filter(char::is_ascii_graphic).collect();
        assert!(shown.starts_with(&readable), "{hostile:?} is shown as {heading:?}");
    }
}

#[test]
fn the_file_loads_nothing_and_runs_nothing() {
    let text = page(&incident(), &data("approval.json"));
    let html = Html::parse_document(&text);
    let one = |selector: &str| html.select(&Selector::parse(selector).unwrap()).collect::<Vec<_>>();
    let policy = one("meta[http-equiv='Content-Security-Policy']")[0]
        .attr("content")
        .unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(one("script, link, img, iframe, object, embed, base, form, [style], [src], [srcset]").is_empty());
    for link in one("a") {
        let href = link.attr("href").unwrap();
        assert!(href.starts_with("#e"), "{href}");
        assert_eq!(
            one(&format!("details[id='{}']", &href[1..])).len(),
            1,
            "{href} leads nowhere"
        );
    }
    for element in one("*") {
        assert!(element.value().attrs().all(|(name, _)| !name.starts_with("on")));
    }
    let style = one("style")[0].text().collect::<String>();
    assert!(!style.contains("url(") && !style.contains("@import"));
    // The style sheet is the one that the policy admits.
    let hash = {
        use base64::Engine as _;
        use sha2::Digest as _;
        base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style.as_bytes()))
    };
    assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
}

#[test]
fn the_page_tells_the_story() {
    let html = Html::parse_document(&page(&incident(), &data("approval.json")));
    let text = |selector: &str| -> Vec<String> {
        html.select(&Selector::parse(selector).unwrap())
            .map(|element| {
                element
                    .text()
                    .collect::<String>()
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    };
    let summary = text(".summary p");
    assert_eq!(summary.len(), 3);
    assert!(
        summary[0].contains("checkout pods restart (critical: nothing serves)"),
        "{summary:?}"
    );
    assert!(summary[1].contains("no key PAYMENT_GATEWAY_URL"), "{summary:?}");
    assert!(
        summary[2].contains("fresh evidence shows that it helped"),
        "{summary:?}"
    );
    let steps = text("ol.chain > li");
    assert_eq!(steps.len(), 3);
    assert!(
        steps[0].starts_with("symptom") && steps[2].starts_with("cause"),
        "{steps:?}"
    );
    assert!(text("pre.diff .add").contains(&"+ PAYMENT_GATEWAY_URL: http://payments:8080".to_owned()));
    assert!(text("#decision").concat().contains("Approved by bob."));
    assert_eq!(text("#verification tr").len(), 2);
    assert!(text("#cost").concat().contains("0.001250"));
    assert!(text("#audit").concat().contains("sha256:0000"));
    assert_eq!(
        html.select(&Selector::parse("#evidence details:not([open])").unwrap())
            .count(),
        3
    );
}

#[test]
fn the_picture_shows_agents_side_by_side_and_how_long_people_were_waited_for() {
    let (_, _, timeline) = pieces(&incident(), &data("approval.json"));
    let lanes = timeline.unwrap().lanes;
    let titles: Vec<_> = lanes.iter().map(|lane| lane.title).collect();
    assert_eq!(
        titles,
        [
            "Phases",
            "SRE Investigator",
            "Code Analyst",
            "Waiting for people",
            "Changes to the cluster"
        ]
    );
    assert!(lanes[1].bars[0].from == lanes[2].bars[0].from, "both began together");
    let waited = &lanes[3].bars[0];
    assert_eq!(waited.to.duration_since(waited.from).as_secs(), 68);
    for pair in lanes[0].bars.windows(2) {
        assert_eq!(pair[0].to, pair[1].from, "phases have no gap");
    }
}

#[test]
fn an_incident_that_was_just_made_has_a_page_without_a_picture() {
    let mut fresh = incident();
    fresh.as_object_mut().unwrap().remove("status");
    let html = Html::parse_document(&page(&fresh, &data("approval.json")));
    assert_eq!(html.select(&Selector::parse("svg").unwrap()).count(), 0);
    assert_eq!(html.select(&Selector::parse("h1").unwrap()).count(), 1);
}

#[test]
fn recordings_make_pages_that_name_their_cause() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut all: Vec<_> = std::fs::read_dir(scenarios)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("recorded"))
        .filter(|directory| directory.join(FILE).is_file())
        .collect();
    all.sort();
    let mut seen = 0;
    // Every fourth, of all kinds of trouble: each takes its time to be read again.
    for directory in all.iter().step_by(4) {
        seen += 1;
        let conclusion = recordings::conclude(recordings::read(directory).unwrap());
        let text = html::investigation(&conclusion).unwrap();
        assert!(
            text.len() < 1024 * 1024,
            "{}: {} bytes",
            directory.display(),
            text.len()
        );
        let html = Html::parse_document(&text);
        let outside = Selector::parse("script, img, link, iframe, [style], [src], a:not([href^='#e'])").unwrap();
        assert_eq!(html.select(&outside).count(), 0, "{}", directory.display());
        if let Some(cause) = &conclusion.diagnosis.root_cause {
            let last = html
                .select(&Selector::parse("ol.chain > li.cause .node").unwrap())
                .next();
            let named = last.map(|node| node.text().collect::<String>());
            assert_eq!(named, Some(cause.finding.object.to_string()), "{}", directory.display());
        }
    }
    assert!(seen >= 10, "{seen}");
}
