//! The report as one HTML file: it loads nothing, runs nothing, and reads on a phone and on paper.
//!
//! Text that came from a cluster stays text: a template with automatic escaping writes every value, no value of the data becomes part
//! of a tag or an attribute, and the file's own policy (a hash of its one style sheet, nothing else) holds should that ever fail.
//! Must never put markup together from strings. Pure. Called by `report` and `investigate`.

mod page;
mod picture;

use askama::Template;
use base64::Engine as _;
use firewatch_core::agents::Conclusion;
use firewatch_core::report::ResponseDocument;
use firewatch_core::report::timeline::Timeline;
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use page::Page;

const STYLE: &str = include_str!("../../templates/report.css");

/// The file.
#[derive(Template)]
#[template(path = "report.html")]
struct File {
    page: Page,
    style: &'static str,
    style_hash: String,
}

/// The report of an incident.
pub fn report(document: &ResponseDocument, timeline: Option<&Timeline>, now: Timestamp) -> Result<String> {
    render(Page::of_incident(document, timeline, now))
}

/// The report of an investigation without an incident, with the text of its evidence.
pub fn investigation(conclusion: &Conclusion) -> Result<String> {
    render(Page::of_conclusion(conclusion))
}

fn render(page: Page) -> Result<String> {
    let style_hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    File {
        page,
        style: STYLE,
        style_hash,
    }
    .render()
    .map_err(|error| Error::Input(format!("the report cannot be written as HTML: {error}")))
}
