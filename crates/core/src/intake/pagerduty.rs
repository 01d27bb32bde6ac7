//! PagerDuty's webhooks, version 3: the signature over the raw body, and the event in it. The signature is checked first; nothing of a
//! body without a valid one is read. Called by the operator's `intake`.

use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::Sha256;
use strum::{AsRefStr, Display, EnumIter, EnumString};

use super::reject::{Rejection, Why};

/// The largest body that is read.
pub const MAX_BYTES: usize = 1024 * 1024;
/// More signatures than a rotation can cause are not looked at.
const MAX_SIGNATURES: usize = 8;
const MAX_TEXT: usize = 8192;

/// Whether one of the signatures of the header `X-PagerDuty-Signature` is this body's under one of the secrets. While a secret is
/// replaced, both sides have two.
pub fn is_signed(header: &str, body: &[u8], secrets: &[Vec<u8>]) -> bool {
    header
        .split(',')
        .take(MAX_SIGNATURES)
        .filter_map(|one| hex::decode(one.trim().strip_prefix("v1=")?).ok())
        .any(|signature| {
            secrets.iter().filter(|secret| !secret.is_empty()).any(|secret| {
                // Any length of key will do for HMAC; the comparison takes the same time whatever differs.
                Hmac::<Sha256>::new_from_slice(secret).is_ok_and(|mut mac| {
                    mac.update(body);
                    mac.verify_slice(&signature).is_ok()
                })
            })
        })
}

/// What happened to the incident over there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, Display, EnumIter, EnumString)]
pub enum Kind {
    /// It began.
    #[strum(serialize = "incident.triggered")]
    Triggered,
    /// It began again.
    #[strum(serialize = "incident.reopened")]
    Reopened,
    /// It is over.
    #[strum(serialize = "incident.resolved")]
    Resolved,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's id; the same when it is delivered again.
    pub id: String,
    /// What happened; absent for all that Firewatch does nothing about.
    pub kind: Option<Kind>,
    /// When.
    pub occurred_at: Option<Timestamp>,
    /// The incident's id over there.
    pub incident: String,
    /// What it was deduplicated by over there: Alertmanager puts the SHA-256 of its group key there.
    pub incident_key: Option<String>,
    /// What it says.
    pub title: String,
    /// Where a person looks at it.
    pub url: Option<String>,
    /// `high` or `low`.
    pub urgency: Option<String>,
    /// The id of the service over there, by which it is mapped to a namespace.
    pub service: Option<String>,
}

/// Reads a body whose signature was checked.
pub fn parse(body: &[u8]) -> Result<Event, Rejection> {
    if body.len() > MAX_BYTES {
        return Err(Rejection::new("body", Why::TooLarge));
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| Rejection::new("body", Why::NotJson))?;
    let top = value
        .as_object()
        .ok_or_else(|| Rejection::new("body", Why::WrongType))?;
    let event = object(top, "event", "event")?.ok_or_else(|| Rejection::new("event", Why::Missing))?;
    let kind = required(event, "event_type", "event.event_type")?.parse::<Kind>().ok();
    let data = object(event, "data", "event.data")?.ok_or_else(|| Rejection::new("event.data", Why::Missing))?;
    let occurred_at = text(event, "occurred_at", "event.occurred_at")?
        .map(str::parse::<Timestamp>)
        .transpose()
        .map_err(|_| Rejection::new("event.occurred_at", Why::NotATime))?;
    let service = match object(data, "service", "event.data.service")? {
        Some(service) => text(service, "id", "event.data.service.id")?,
        None => None,
    };
    let owned = |value: Option<&str>| value.filter(|v| !v.is_empty()).map(str::to_owned);
    Ok(Event {
        id: required(event, "id", "event.id")?.to_owned(),
        kind,
        occurred_at,
        incident: required(data, "id", "event.data.id")?.to_owned(),
        incident_key: owned(text(data, "incident_key", "event.data.incident_key")?),
        title: text(data, "title", "event.data.title")?.unwrap_or_default().to_owned(),
        url: owned(text(data, "html_url", "event.data.html_url")?),
        urgency: owned(text(data, "urgency", "event.data.urgency")?),
        service: owned(service),
    })
}

fn object<'a>(map: &'a Map<String, Value>, key: &str, path: &str) -> Result<Option<&'a Map<String, Value>>, Rejection> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Rejection::new(path, Why::WrongType)),
    }
}

fn text<'a>(map: &'a Map<String, Value>, key: &str, path: &str) -> Result<Option<&'a str>, Rejection> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() > MAX_TEXT => Err(Rejection::new(path, Why::TooLong)),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection::new(path, Why::WrongType)),
    }
}

fn required<'a>(map: &'a Map<String, Value>, key: &str, path: &str) -> Result<&'a str, Rejection> {
    match text(map, key, path)? {
        None => Err(Rejection::new(path, Why::Missing)),
        Some("") => Err(Rejection::new(path, Why::Empty)),
        Some(text) => Ok(text),
    }
}
