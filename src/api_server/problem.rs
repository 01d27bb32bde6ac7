//! What a caller is told when a request was not served: a problem document (RFC 9457) with a closed type and, where one field is wrong,
//! its name. Texts that come from outside are cleaned and cut. Made by every handler.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use firewatch_core::intake::reject::clean;
use firewatch_core::text::clip;
use strum::{AsRefStr, EnumIter};

/// Why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, EnumIter)]
pub enum Kind {
    /// The body is not JSON, or nested deeper than any caller does.
    NotJson,
    /// The body broke off.
    BodyUnreadable,
    /// No valid token.
    Unauthenticated,
    /// The caller may not.
    Forbidden,
    /// A decision is made with one's own token of the cluster, and with nothing else.
    OwnTokenNeeded,
    /// No such thing.
    NotFound,
    /// The path is known, the method is not.
    MethodNotAllowed,
    /// No plan waits for a decision.
    NoPlanWaiting,
    /// The plan is another than the one that the caller names.
    PlanChanged,
    /// A decision is final.
    AlreadyDecided,
    /// It is too late.
    PlanExpired,
    /// What is stored is not what its digest says.
    PlanMismatch,
    /// The body is larger than is read.
    TooLarge,
    /// The body is of another type.
    UnsupportedMediaType,
    /// A field is not what it must be.
    Invalid,
    /// More requests than this caller may send.
    RateLimited,
    /// More than can be handled at once.
    Overloaded,
    /// It took too long.
    TimedOut,
    /// The API server could not be asked.
    Unavailable,
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub kind: Kind,
    /// In a sentence or two, with the remedy.
    pub detail: String,
    /// Which field of the request.
    pub field: Option<String>,
}

impl Problem {
    /// Of a kind.
    pub fn new(kind: Kind, detail: impl AsRef<str>) -> Self {
        Self {
            kind,
            detail: clip(&clean(detail.as_ref()), 1024),
            field: None,
        }
    }

    /// About a field.
    pub fn invalid(field: impl AsRef<str>, why: impl std::fmt::Display) -> Self {
        let field = clip(&clean(field.as_ref()), 128);
        Self {
            field: Some(field.clone()),
            ..Self::new(Kind::Invalid, format!("{field}: {why}"))
        }
    }

    /// The caller may not do this.
    pub fn forbidden(user: &str, verb: &str, resource: &str, namespace: Option<&str>) -> Self {
        let place = namespace.map_or("the whole cluster".to_owned(), |name| format!("namespace {name}"));
        Self::new(
            Kind::Forbidden,
            format!(
                "{user} may not {verb} {resource} in {place}; ask its administrators for firewatch-viewer, firewatch-reporter or firewatch-approver"
            ),
        )
    }

    /// The API server did not answer as it should.
    pub fn unavailable(error: &dyn std::fmt::Display) -> Self {
        Self::new(Kind::Unavailable, format!("the API server: {error}; try again"))
    }
}

impl Kind {
    /// Its status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotJson | Self::BodyUnreadable => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::OwnTokenNeeded => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoPlanWaiting | Self::PlanChanged | Self::AlreadyDecided | Self::PlanExpired | Self::PlanMismatch => {
                StatusCode::CONFLICT
            }
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::TimedOut | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let mut document = serde_json::json!({
            "type": format!("urn:firewatch:problem:{}", self.kind.as_ref()),
            "title": self.kind.as_ref(),
            "status": status.as_u16(),
            "detail": self.detail,
        });
        if let (Some(field), Some(map)) = (self.field, document.as_object_mut()) {
            map.insert("field".into(), field.into());
        }
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}
