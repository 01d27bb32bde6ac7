//! PagerDuty's webhooks: the signature over the raw body, then the event, then the store, and an answer within the five seconds that
//! PagerDuty waits. Nothing is kept here of what was delivered before: the incident itself remembers it. Called by `server`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use firewatch_core::intake::pagerduty;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::Mutex;

use super::auth::MIN_TOKEN;
use super::config::{IntakeConfig, IntakeError};
use super::listen::Peer;
use super::problem::Problem;
use super::server::{Intake, read};

/// PagerDuty gives up after five seconds, and sends again what was answered with 5xx.
const WHOLE: Duration = Duration::from_millis(4500);
const READ_AGAIN: Duration = Duration::from_secs(10);
const SIGNATURE: &str = "x-pagerduty-signature";

/// What is known of the sender.
pub(super) struct Pagerduty {
    path: PathBuf,
    secrets: Mutex<(Vec<Vec<u8>>, Instant)>,
    services: BTreeMap<String, String>,
}

impl Pagerduty {
    /// Reads the secrets for the first time; nothing where none are configured.
    pub(super) async fn open(config: &IntakeConfig) -> Result<Option<Self>, IntakeError> {
        let Some(path) = config.pagerduty_secret_file.clone() else {
            return Ok(None);
        };
        let found = secrets(&path).await.map_err(|error| IntakeError::File {
            path: path.display().to_string(),
            error: error.to_string(),
        })?;
        if found.is_empty() {
            return Err(IntakeError::NoToken(path.display().to_string()));
        }
        Ok(Some(Self {
            path,
            secrets: Mutex::new((found, Instant::now())),
            services: config.services()?,
        }))
    }

    async fn current(&self) -> Vec<Vec<u8>> {
        let mut known = self.secrets.lock().await;
        if known.1.elapsed() > READ_AGAIN {
            match secrets(&self.path).await {
                // A file that is empty for a moment, as it is being replaced, takes no rights away.
                Ok(found) if !found.is_empty() => known.0 = found,
                Ok(_) => tracing::warn!(path = %self.path.display(), "no secret in the file: the earlier ones hold"),
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "the secrets could not be read again");
                }
            }
            known.1 = Instant::now();
        }
        known.0.clone()
    }
}

async fn secrets(path: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let text = tokio::fs::read_to_string(path).await?;
    let lines = text.lines().map(str::trim).filter(|line| line.len() >= MIN_TOKEN);
    Ok(lines.map(|line| line.as_bytes().to_vec()).collect())
}

/// `POST /webhooks/pagerduty/v3`.
pub(super) async fn webhook(
    State(intake): State<Arc<Intake>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = tokio::time::timeout(WHOLE, taken(&intake, peer, &headers, body))
        .await
        .unwrap_or_else(|_| Err(Problem::NotStored("not in time".to_owned())));
    intake.answered("pagerduty", peer, answer)
}

async fn taken(intake: &Arc<Intake>, peer: Peer, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    // `start` has this route only where there are secrets.
    let sender = intake.pagerduty.as_ref().ok_or(Problem::Unsigned)?;
    if !intake.has_turn(peer) {
        return Err(Problem::RateLimited);
    }
    let report = {
        let _turn = intake.turns.acquire().await.map_err(|_| Problem::Overloaded)?;
        let body = read(body, pagerduty::MAX_BYTES).await?;
        let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        let secrets = sender.current().await;
        if !signature.is_some_and(|signature| pagerduty::is_signed(signature, &body, &secrets)) {
            return Err(Problem::Unsigned);
        }
        let event = pagerduty::parse(&body).map_err(Problem::Rejected)?;
        pagerduty::report(&event, &sender.services, &intake.labels, Timestamp::now())
    };
    let incident = match report {
        // A test of the subscription, and whatever else Firewatch does nothing about.
        None => None,
        Some(report) => intake
            .store
            .take(report)
            .await
            .map_err(|error| Problem::NotStored(error.to_string()))?,
    };
    Ok((StatusCode::OK, Json(serde_json::json!({ "incident": incident }))).into_response())
}
