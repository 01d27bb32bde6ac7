//! The intake's requests: who sends, how much, is it well-formed, is it stored. In that order: of a sender without a valid token nothing is
//! parsed or kept. Called by `run`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use firewatch_core::intake::rate::Buckets;
use firewatch_core::intake::target::LabelPolicy;
use firewatch_core::intake::{Rejection, Why, alertmanager, report};
use futures::future::join_all;
use http_body_util::BodyExt;
use k8s_openapi::jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::auth::Tokens;
use super::config::{IntakeConfig, IntakeError};
use super::listen::{self, Peer, Tls};
use super::pagerduty::{self, Pagerduty};
use super::problem::Problem;
use super::store::Store;
use crate::telemetry::metrics::{IntakeLabel, Metrics};

/// More of a body is not even read to be forgotten.
const MOST: usize = 16 * alertmanager::MAX_BYTES;
/// Bodies that are read and parsed at once: what bounds the memory.
const AT_ONCE: usize = 8;
const BODY: Duration = Duration::from_secs(10);
/// How long a body is read that nobody wants.
pub(crate) const FORGET: Duration = Duration::from_millis(500);
const TURN: Duration = Duration::from_secs(5);

/// What every request needs.
pub(super) struct Intake {
    pub(super) store: Arc<Store>,
    pub(super) labels: LabelPolicy,
    pub(super) pagerduty: Option<Pagerduty>,
    tokens: Option<Tokens>,
    buckets: Mutex<Buckets<IpAddr>>,
    pub(super) turns: Semaphore,
    metrics: Arc<Metrics>,
}

/// Binds, and serves until told to stop. `None` where no intake is configured.
pub async fn start(
    config: &IntakeConfig,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<Option<Listening>, IntakeError> {
    let Some(address) = config.listen else {
        return Ok(None);
    };
    let tokens = match &config.token_file {
        Some(path) => Some(Tokens::open(path).await?),
        None => None,
    };
    let tls = Tls::open(config.tls())?;
    let certificates = tls.is_some() && config.client_ca.is_some();
    let pagerduty = Pagerduty::open(config).await?;
    let of_alertmanager = tokens.is_some() || certificates;
    if !of_alertmanager && pagerduty.is_none() {
        return Err(IntakeError::Unauthenticated);
    }
    let of_pagerduty = pagerduty.is_some();
    let intake = Arc::new(Intake {
        store,
        labels: config.labels()?,
        pagerduty,
        tokens,
        buckets: Mutex::new(Buckets::new(config.rate, config.rate.saturating_mul(10))),
        turns: Semaphore::new(AT_ONCE),
        metrics,
    });
    // What has no way to tell its senders is not there at all.
    let mut router = Router::new();
    if of_alertmanager {
        router = router.route("/webhooks/alertmanager", post(from_alertmanager));
    }
    if of_pagerduty {
        router = router.route("/webhooks/pagerduty/v3", post(pagerduty::webhook));
    }
    let router = router.with_state(intake);
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, tls = tls.is_some(), "the intake listens");
    Ok(Some(Listening {
        address,
        task: tokio::spawn(listen::serve(listener, tls, router, stop)),
    }))
}

/// A running intake.
pub struct Listening {
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// Ends when it is told to stop.
    pub task: tokio::task::JoinHandle<()>,
}

async fn from_alertmanager(
    State(intake): State<Arc<Intake>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = taken(&intake, peer, &headers, body).await;
    intake.answered("alertmanager", peer, answer)
}

async fn taken(intake: &Arc<Intake>, peer: Peer, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    if let Err(problem) = intake.admits(peer, headers).await {
        // Small ones are read and forgotten, so that the answer is heard.
        let _ = tokio::time::timeout(FORGET, collect(body, 0)).await;
        return Err(problem);
    }
    let reports = {
        let _turn = tokio::time::timeout(TURN, intake.turns.acquire())
            .await
            .map_err(|_| Problem::Overloaded)?
            .map_err(|_| Problem::Overloaded)?;
        let body = read(body, alertmanager::MAX_BYTES).await?;
        let notification = alertmanager::parse(&body, Timestamp::now()).map_err(Problem::Rejected)?;
        report::reports(&notification, &intake.labels)
    };
    // All or the same again: what was stored of it is stored once, whatever is sent again.
    let stored = join_all(reports.into_iter().map(|report| intake.store.take(report))).await;
    let mut incidents = Vec::new();
    for one in stored {
        incidents.extend(one.map_err(|error| Problem::NotStored(error.to_string()))?);
    }
    Ok((StatusCode::OK, Json(serde_json::json!({ "incidents": incidents }))).into_response())
}

impl Intake {
    /// Counts what became of a request, and makes the answer of it.
    pub(super) fn answered(&self, source: &'static str, peer: Peer, answer: Result<Response, Problem>) -> Response {
        let result = match &answer {
            Ok(_) => "Accepted",
            Err(problem) => problem.as_ref(),
        };
        self.metrics
            .intake_requests
            .get_or_create(&IntakeLabel {
                source,
                result: result.to_owned(),
            })
            .inc();
        answer.unwrap_or_else(|problem| {
            tracing::debug!(peer = %peer.0, ?problem, "a webhook was not taken");
            problem.into_response()
        })
    }

    async fn admits(&self, peer: Peer, headers: &HeaderMap) -> Result<(), Problem> {
        if !self.has_turn(peer) {
            return Err(Problem::RateLimited);
        }
        match &self.tokens {
            Some(tokens) if !tokens.admit(headers).await => Err(Problem::Unauthenticated),
            // Without tokens the handshake has admitted: `start` refuses to run with neither.
            _ => Ok(()),
        }
    }

    pub(super) fn has_turn(&self, peer: Peer) -> bool {
        // A poisoned lock holds a count: going on with it harms nobody.
        let mut buckets = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        buckets.admits(&peer.0.ip(), Timestamp::now())
    }
}

/// The body, if it is no larger than that. What is too large is read on for a while and forgotten: a connection that is closed on what was
/// not read takes the answer with it.
pub(super) async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(BODY, collect(body, limit)).await {
        Err(_) => Err(Problem::BodyTimedOut),
        Ok(Err(_)) => Err(Problem::BodyUnreadable),
        Ok(Ok(None)) => Err(Problem::Rejected(Rejection::new("body", Why::TooLarge))),
        Ok(Ok(Some(bytes))) => Ok(bytes),
    }
}

/// At most so much of a body; none where it is larger. What is too large is read on for a while and forgotten.
pub(crate) async fn collect(mut body: Body, limit: usize) -> Result<Option<Vec<u8>>, axum::Error> {
    let (mut kept, mut total) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        total = total.saturating_add(data.len());
        if total <= limit {
            kept.extend_from_slice(&data);
        } else {
            kept = Vec::new();
        }
        if total > MOST {
            break;
        }
    }
    Ok((total <= limit).then_some(kept))
}
