//! What comes in: bodies, paths and queries, bounded and named by field when they are wrong. Nothing here trusts what it reads; what it
//! allows is what the OpenAPI document says. Called by the handlers.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{Uri, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{Kind, Problem};
use crate::intake::server::collect;

/// The longest body.
pub const MAX_BODY: usize = 1024 * 1024;
const BODY: Duration = Duration::from_secs(10);

/// A body: JSON of this type and nothing else.
pub struct Input<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Problem::new(
                Kind::UnsupportedMediaType,
                "send the body as Content-Type: application/json",
            ));
        }
        let bytes = read(request.into_body()).await?;
        parse(&bytes).map(Self)
    }
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(BODY, collect(body, MAX_BODY)).await {
        Err(_) => Err(Problem::new(Kind::TimedOut, "the body did not come in time")),
        Ok(Err(_)) => Err(Problem::new(Kind::BodyUnreadable, "the body broke off")),
        Ok(Ok(None)) => Err(Problem::new(
            Kind::TooLarge,
            format!("a body has at most {MAX_BODY} bytes"),
        )),
        Ok(Ok(Some(bytes))) => Ok(bytes),
    }
}

/// JSON of this type, with nothing after it. No body holds a list; without this, one would pass for an object whose fields it holds in order.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(Kind::NotJson, format!("the body is not JSON: {error}")))?;
    if let Some(field) = list(&value, "") {
        return Err(Problem::invalid(field, "is a list, and no field is one"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        Problem::invalid(if field == "." { "body" } else { &field }, error.into_inner())
    })
}

/// Where a list is. What is nested deeper than JSON is read has been refused before.
fn list(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Array(_) => Some(if path.is_empty() { "body" } else { path }.to_owned()),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            list(value, &format!("{path}{dot}{name}"))
        }),
        _ => None,
    }
}

/// Namespace and name of a path.
pub struct Named {
    /// Namespace.
    pub namespace: String,
    /// Name of the incident.
    pub name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((namespace, name)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::invalid("path", "is not UTF-8"))?;
        self::namespace("namespace", &namespace)?;
        if name.len() > 63 || !is_subdomain(&name) {
            return Err(Problem::invalid("name", "is not the name of an incident"));
        }
        Ok(Self { namespace, name })
    }
}

/// Refuses what is no namespace's name.
pub fn namespace(field: &str, text: &str) -> Result<(), Problem> {
    if is_label(text) {
        return Ok(());
    }
    Err(Problem::invalid(
        field,
        "is not the name of a namespace: a-z, 0-9 and -, 63 at most, a letter or digit first and last",
    ))
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// A name as most objects have.
pub fn is_subdomain(text: &str) -> bool {
    (1..=253).contains(&text.len()) && text.split('.').all(is_label)
}

/// A kind, as in `Deployment`.
pub fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// An API version, as in `apps/v1`.
pub fn is_api_version(text: &str) -> bool {
    let (group, version) = text.rsplit_once('/').map_or((None, text), |(g, v)| (Some(g), v));
    let is_version = version.len() <= 30
        && version.starts_with('v')
        && version.len() > 1
        && version.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    is_version && text.len() <= 231 && group.is_none_or(is_subdomain)
}

/// Refuses text that is too long, or holds characters that do not belong into a line (`lines`: into lines).
pub fn text(field: &str, text: &str, most: usize, lines: bool) -> Result<(), Problem> {
    if text.chars().count() > most {
        return Err(Problem::invalid(field, format!("has more than {most} characters")));
    }
    if text
        .chars()
        .any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\t')))
    {
        return Err(Problem::invalid(field, "holds control characters"));
    }
    Ok(())
}

/// The query, of these parameters at most, each at most once.
pub fn query(uri: &Uri, known: &[&str]) -> Result<BTreeMap<String, String>, Problem> {
    let mut found = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if !known.contains(&name.as_ref()) {
            return Err(Problem::invalid(
                name,
                format!("is not known; there are: {}", known.join(", ")),
            ));
        }
        if found.insert(name.clone().into_owned(), value.into_owned()).is_some() {
            return Err(Problem::invalid(name, "is there twice"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code)]
        inner: BTreeMap<String, Inner>,
    }
    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code)]
        number: u8,
    }

    #[test]
    fn a_wrong_body_is_refused_by_the_name_of_its_field() {
        for (body, field) in [
            (r#"{"inner":{"a":{"number":1},"b":{"number":"x"}}}"#, "inner.b.number"),
            (r#"{"inner":{"a":{"number":1,"more":2}}}"#, "inner.a.more"),
            (r#"{"inner":{"a":[1]}}"#, "inner.a"),
            (r#"{"inner":null}"#, "inner"),
            ("{}", "body"),
            ("[]", "body"),
            ("7", "body"),
        ] {
            let problem = parse::<Outer>(body.as_bytes()).unwrap_err();
            assert_eq!(
                (problem.kind, problem.field.as_deref()),
                (Kind::Invalid, Some(field)),
                "{body}"
            );
        }
        let deep = format!("{{\"inner\":{}", "{\"a\":".repeat(100_000));
        for body in ["", "{\"inner\":{}} x", "nonsense", &"[".repeat(100_000), &deep] {
            assert_eq!(parse::<Outer>(body.as_bytes()).unwrap_err().kind, Kind::NotJson);
        }
    }

    #[test]
    fn names_are_names() {
        for bad in [
            "",
            "..",
            "../x",
            "a/b",
            "A",
            "-a",
            "a-",
            "a.",
            ".a",
            "a..b",
            "a\n",
            "ä",
            &"a".repeat(64),
        ] {
            assert!(!is_label(bad) && !is_subdomain(bad), "{bad:?}");
        }
        assert!(is_label("shop-2") && is_subdomain("am-1.x"));
        assert!(is_kind("Deployment") && !is_kind("deployment") && !is_kind("A b") && !is_kind(""));
        for good in ["v1", "apps/v1", "autoscaling.k8s.io/v1beta2"] {
            assert!(is_api_version(good), "{good}");
        }
        for bad in ["", "v", "apps/", "apps/1", "a/b/v1", "../v1"] {
            assert!(!is_api_version(bad), "{bad}");
        }
    }

    #[test]
    fn text_holds_no_control_characters() {
        assert!(text("title", "checkout is bad ✗", 20, false).is_ok());
        for bad in ["a\nb", "a\u{0}", "a\u{9b}31m", "\u{7f}", &"x".repeat(21)] {
            assert_eq!(
                text("title", bad, 20, false).unwrap_err().field.as_deref(),
                Some("title")
            );
        }
        assert!(text("description", "a\n\tb", 20, true).is_ok());
    }

    #[test]
    fn a_query_holds_only_what_is_known_once() {
        let known = ["limit", "phase"];
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let found = query(&uri("/incidents?limit=5&phase=a%20b"), &known).unwrap();
        assert_eq!(found.get("phase").map(String::as_str), Some("a b"));
        assert!(query(&uri("/incidents"), &known).unwrap().is_empty());
        assert_eq!(
            query(&uri("/incidents?size=5"), &known).unwrap_err().field.as_deref(),
            Some("size")
        );
        assert!(query(&uri("/incidents?limit=5&limit=6"), &known).is_err());
    }
}
