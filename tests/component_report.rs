//! The HTML report in a real browser: it fits a phone and a desk, says nothing on the console, loads nothing, and whatever a log says is
//! text. Pictures of some are left in target/report-pictures for whoever wants to look.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "report/browser.rs"]
mod browser;
#[path = "../crates/kubectl-incident/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use browser::{Browser, Visit};
use firewatch_core::agents::Conclusion;
use firewatch_core::api::Incident;
use firewatch_core::diagnosis::recording::FILE;
use firewatch_core::diagnosis::{Finding, RootCause};
use firewatch_core::report::timeline::timeline;
use firewatch_core::report::{ApprovalRow, StoryView, document};
use k8s_openapi::jiff::Timestamp;
use kubectl_incident::{html, recordings};
use serde_json::Value;

const PHONE: u32 = 390;
const DESK: u32 = 1280;
/// Of these, pictures are kept.
const PICTURES: [&str; 4] = ["crashloop", "cascading_failure", "healthy_noise", "repaired-report"];

fn now() -> Timestamp {
    "2026-03-01T04:00:00Z".parse().unwrap()
}

/// The report of the repaired incident, with everything that it can hold.
fn report(incident: &Value, approval: &Value) -> String {
    let incident: Incident = serde_json::from_value(incident.clone()).unwrap();
    let approval = serde_json::from_value(approval.clone()).unwrap();
    let timeline = timeline(&incident, Some(&approval), now());
    let view = StoryView::with_approval(&incident, Some(ApprovalRow::of(&approval)));
    html::report(&document(&incident, &view), timeline.as_ref(), now()).unwrap()
}

/// The incident that a recorded investigation would have left, as `report` shows it.
fn recorded_report(name: &str, conclusion: &Conclusion) -> String {
    let mut incident = support::incident();
    incident["spec"]["title"] = name.into();
    let mut incident: Incident = serde_json::from_value(incident).unwrap();
    let status = incident.status.as_mut().unwrap();
    status.root_cause = conclusion.diagnosis.root_cause.as_ref().map(RootCause::to_status);
    status.findings = conclusion.diagnosis.findings.iter().map(Finding::to_status).collect();
    status.plan = Some(conclusion.plan.clone());
    let timeline = timeline(&incident, None, now());
    html::report(&document(&incident, &StoryView::default()), timeline.as_ref(), now()).unwrap()
}

/// Every report there is, with its name: made on a thread of its own while the browser reads, since each recording is read anew.
fn reports() -> Receiver<(String, String)> {
    let (sender, pages) = channel();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::thread::spawn(move || {
        let repaired = report(&support::incident(), &support::approval());
        sender.send(("repaired-report".to_owned(), repaired)).unwrap();
        for entry in std::fs::read_dir(root.join("scenarios"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            let recorded = entry.join("recorded");
            if recorded.join(FILE).is_file() {
                let name = entry.file_name().unwrap().to_string_lossy().into_owned();
                let conclusion = recordings::conclude(recordings::read(&recorded).unwrap());
                let report = recorded_report(&name, &conclusion);
                sender.send((format!("{name}-report"), report)).unwrap();
                sender.send((name, html::investigation(&conclusion).unwrap())).unwrap();
            }
        }
    });
    pages
}

/// Where the pages are put, empty.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn assert_still(what: &str, visit: &Visit) {
    assert!(visit.elements > 20, "{what}: the page is not all there: {visit:?}");
    assert!(visit.complaints.is_empty(), "{what} complains: {visit:?}");
    assert!(visit.requests.is_empty(), "{what} loads: {visit:?}");
    assert!(!visit.ran, "{what}: hostile text ran");
    assert!(visit.overflow <= 0, "{what} is too wide: {visit:?}");
}

/// A payload that makes itself known, in whichever frame it runs.
fn armed(hostile: &str) -> String {
    hostile.replace("alert(1)", "top.pwned=1")
}

/// Without its policy, which would stop what the escaping let through.
fn without_policy(page: &str) -> String {
    let start = page.find("<meta http-equiv=\"Content-Security-Policy\"").unwrap();
    let end = start + page[start..].find('>').unwrap() + 1;
    format!("{}{}", &page[..start], &page[end..])
}

/// One browser for everything: starting one takes longer than all the pages.
#[test]
fn every_report_is_still_fits_its_screen_and_shows_hostile_text_as_text() {
    let pages = directory("report-pages");
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../report-pictures");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut browser = Browser::start(&pages.join("profile"));
    let mut see = |name: &str, text: &str, width: u32| -> Visit {
        let file = pages.join(format!("{name}.html"));
        std::fs::write(&file, text).unwrap();
        let picture = pictures.join(format!("{name}-{width}.png"));
        browser.visit(&file, width, PICTURES.contains(&name).then_some(picture.as_path()))
    };

    the_browser_notices_what_a_page_must_not_do(&mut see);

    let mut pages_seen = 0;
    for (name, text) in reports() {
        pages_seen += 1;
        for width in [PHONE, DESK] {
            assert_still(&format!("{name} at {width}"), &see(&name, &text, width));
        }
    }
    assert!(pages_seen > 2 * 40, "{pages_seen}");

    let crashloop = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/crashloop/recorded");
    let mut conclusion = recordings::conclude(recordings::read(&crashloop).unwrap());
    let corpus: Vec<String> = support::HOSTILE.iter().map(|text| armed(text)).collect();
    for hostile in &corpus {
        let (mut incident, mut approval) = (support::incident(), support::approval());
        support::poison_incident(&mut incident, hostile);
        support::poison(&mut approval["spec"], "", hostile);
        let text = without_policy(&report(&incident, &approval));
        assert_still(&format!("a report of {hostile:?}"), &see("hostile", &text, PHONE));
    }
    // What the evidence itself says, and everything at once.
    for evidence in &mut conclusion.evidence {
        evidence.output = corpus.concat();
        evidence.argv = corpus.clone();
    }
    let text = without_policy(&html::investigation(&conclusion).unwrap());
    assert_still("hostile evidence", &see("hostile", &text, PHONE));
    let (mut incident, mut approval) = (support::incident(), support::approval());
    support::poison_incident(&mut incident, &corpus.concat());
    support::poison(&mut approval["spec"], "", &corpus.concat());
    assert_still("all of it", &see("hostile", &report(&incident, &approval), PHONE));
}

/// What the assertions rest on: a browser that sees nothing would find every page good.
fn the_browser_notices_what_a_page_must_not_do(see: &mut impl FnMut(&str, &str, u32) -> Visit) {
    let page = |body: &str| {
        format!("<!doctype html><title>t</title><meta name=viewport content='width=device-width'><body>{body}")
    };
    let bad = see(
        "control",
        &page("<script>console.error('x')</script><img src=http://evil.example/x><div style='width:2000px'>wide</div>"),
        PHONE,
    );
    assert!(bad.complaints.len() >= 2, "{bad:?}");
    assert_eq!(bad.requests, ["http://evil.example/x"]);
    assert!(bad.overflow > 1000 && !bad.ran, "{bad:?}");
    let ran: Vec<_> = support::HOSTILE
        .iter()
        // The others send a reader elsewhere, which ends the page before it can be asked.
        .filter(|hostile| hostile.contains("alert(1)"))
        .filter(|hostile| {
            see(
                "control",
                &page(&format!("<i title=\"{0}\">{0}</i>", armed(hostile))),
                PHONE,
            )
            .ran
        })
        .collect();
    assert!(ran.len() >= 8, "the corpus has lost its teeth: {ran:?}");
    let quiet = see("control", &page("<p>fine"), PHONE);
    assert!(
        quiet.complaints.is_empty() && quiet.requests.is_empty() && quiet.overflow <= 0 && !quiet.ran,
        "{quiet:?}"
    );
}
