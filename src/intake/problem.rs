//! What a sender is told when its request was not taken: a problem document (RFC 9457) with a closed reason and, where one field is wrong,
//! its name. Made by `server`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use firewatch_core::intake::Rejection;
use strum::AsRefStr;

/// Why a request was not taken.
#[derive(Debug, AsRefStr)]
pub enum Problem {
    /// No valid token.
    Unauthenticated,
    /// No valid signature.
    Unsigned,
    /// More requests than this client may send.
    RateLimited,
    /// More than can be handled at once.
    Overloaded,
    /// The body did not come in time.
    BodyTimedOut,
    /// The body broke off.
    BodyUnreadable,
    /// The body is not what the format describes.
    Rejected(Rejection),
    /// It could not be stored; the same again is welcome.
    NotStored(String),
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::Unsigned => StatusCode::UNAUTHORIZED,
            // Never 429: Alertmanager drops what any 4xx answered, and tries again after a 5xx.
            Self::RateLimited | Self::Overloaded | Self::BodyTimedOut | Self::NotStored(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Rejected(rejection) if rejection.why == firewatch_core::intake::Why::TooLarge => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Rejected(_) | Self::BodyUnreadable => StatusCode::BAD_REQUEST,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Unauthenticated => {
                "send one of the tokens of --intake-token-file as `Authorization: Bearer …`".into()
            }
            Self::Unsigned => {
                "send X-PagerDuty-Signature: v1=… over the body, under one of the secrets of --intake-pagerduty-secret-file".into()
            }
            Self::RateLimited => "more requests than one client may send (--intake-rate); try again".into(),
            Self::Overloaded => "more than can be handled at once; try again".into(),
            Self::BodyTimedOut => "the body did not come in time".into(),
            Self::BodyUnreadable => "the body broke off".into(),
            Self::Rejected(rejection) => rejection.to_string(),
            Self::NotStored(why) => format!("not stored: {why}; try again"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut document = serde_json::json!({
            "type": format!("urn:firewatch:problem:{}", self.as_ref()),
            "title": self.as_ref(),
            "status": status.as_u16(),
            "detail": self.detail(),
        });
        if let (Self::Rejected(rejection), Some(map)) = (&self, document.as_object_mut()) {
            map.insert("field".into(), rejection.field.clone().into());
            map.insert("reason".into(), rejection.why.as_ref().into());
        }
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match status {
            StatusCode::UNAUTHORIZED if !matches!(self, Self::Unsigned) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}
