//! One request to a receiver, and what its answer means. It ends in time, follows nowhere, and reads only so much. Addresses may be
//! secrets: no error repeats one. Called by `deliver`.

use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);
const ANSWER: usize = 64 * 1024;
/// A receiver may ask for patience, not for silence.
const LONGEST: Duration = Duration::from_hours(1);

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken.
    Sent,
    /// It may be taken later.
    Again {
        /// Why not now.
        why: String,
        /// When the receiver wants it, where it says so.
        after: Option<Duration>,
    },
    /// It never will be.
    Never {
        /// Why.
        why: String,
    },
}

impl Delivery {
    /// Later, at no time of the receiver's.
    pub fn again(why: impl Into<String>) -> Self {
        Self::Again {
            why: why.into(),
            after: None,
        }
    }
}

/// What a receiver answered.
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// When it wants to be asked again.
    pub after: Option<Duration>,
    /// The body, as far as it is read.
    pub body: Vec<u8>,
}

/// A client for one channel.
pub fn client(ca: Option<&Path>) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .user_agent(concat!("firewatch/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = ca {
        let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let all =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| format!("{}: {error}", path.display()))?;
        if all.is_empty() {
            return Err(format!("{} holds no certificate", path.display()));
        }
        for certificate in all {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| error.to_string())
}

/// Sends, and reads the answer. No answer: later.
pub async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, Delivery> {
    let lost = |error: reqwest::Error| {
        let what = if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            "no connection"
        } else if error.is_builder() {
            "the address or a header of it cannot be used"
        } else {
            "the connection broke"
        };
        Delivery::again(what)
    };
    let mut response = request.send().await.map_err(lost)?;
    let (status, after) = (response.status(), retry_after(response.headers()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        let room = ANSWER.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if body.len() >= ANSWER {
            break;
        }
    }
    Ok(Answer { status, after, body })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// What a status means where it alone says everything.
pub fn judged(answer: &Answer) -> Delivery {
    let status = answer.status;
    if status.is_success() {
        return Delivery::Sent;
    }
    let said: String = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
    let why = format!("HTTP {}: {said}", status.as_u16());
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Delivery::Again {
            why,
            after: answer.after,
        };
    }
    Delivery::Never { why }
}
