//! A notice as what PagerDuty's REST API is asked: acknowledge while it is at work, resolve where fresh evidence shows the trouble
//! gone, and a note each time. Only about incidents that came from there. Called by the sender.

use serde_json::{Value, json};

use super::notice::{Notice, Occasion};
use super::words;
use crate::api::Outcome;
use crate::text::clip;

/// PagerDuty takes notes of up to 65,535 characters; nobody reads that.
const NOTE: usize = 8000;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `PUT` or `POST`.
    pub method: &'static str,
    /// Below the API's base.
    pub path: String,
    /// JSON.
    pub body: Value,
}

/// The requests of a notice, in order. What may be repeated without harm comes first: a note that fails repeats no other.
pub fn requests(notice: &Notice) -> Vec<Request> {
    let Some(id) = &notice.pagerduty else { return Vec::new() };
    let status = match (notice.occasion, notice.outcome) {
        (Occasion::Ended, Some(Outcome::Remediated | Outcome::NoActionRequired)) => Some("resolved"),
        (Occasion::Ended, _) => None,
        // Each time: saying it again changes nothing, and what was told before the intake had noted the incident is made good.
        _ => Some("acknowledged"),
    };
    let status = status.map(|status| Request {
        method: "PUT",
        path: format!("/incidents/{id}"),
        body: json!({ "incident": { "type": "incident_reference", "status": status } }),
    });
    let note = Request {
        method: "POST",
        path: format!("/incidents/{id}/notes"),
        body: json!({ "note": { "content": clip(&words::text(notice), NOTE) } }),
    };
    status.into_iter().chain([note]).collect()
}
