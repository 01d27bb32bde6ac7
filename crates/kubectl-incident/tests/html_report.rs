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
use serde_json::Value;
use support::{HOSTILE, approval, incident, poison, poison_incident};

mod support;

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

#[test]
fn hostile_text_never_becomes_an_element_or_an_attribute() {
    let mut plain = incident();
    let mut approval = approval();
    // One word in place of all, so that the pages differ in their text alone.
    poison_incident(&mut plain, "word");
    poison(&mut approval["spec"], "", "word");
    let expected = skeleton(&Html::parse_document(&page(&plain, &approval)));
    assert!(expected.len() > 150, "the page is all there: {}", expected.len());

    for hostile in HOSTILE {
        let mut bad = incident();
        poison_incident(&mut bad, hostile);
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
    let text = page(&incident(), &approval());
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
    let html = Html::parse_document(&page(&incident(), &approval()));
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
    let (_, _, timeline) = pieces(&incident(), &approval());
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
    let html = Html::parse_document(&page(&fresh, &approval()));
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
