//! The HTTP API's routes, and what they share. Called by `run`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use firewatch_core::intake::rate::Buckets;
use firewatch_core::intake::target::LabelPolicy;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Authority};
use super::approval::AsCaller;
use super::config::{ApiConfig, ApiError};
use super::problem::{Kind, Problem};
use super::{approval, caller, create, middleware, openapi, read, transitions};
use crate::intake::auth::Tokens;
use crate::intake::listen::{self, Tls};
use crate::telemetry::metrics::Metrics;

/// Requests that are handled at once.
const AT_ONCE: usize = 64;
/// Lists that are read at once: what bounds the memory.
const LISTS: usize = 2;
/// Streams that are open at once, of all callers.
const STREAMS: usize = 64;
/// And of one.
pub const STREAMS_OF_ONE: usize = 8;

/// The ways to the cluster.
pub struct Ways {
    /// As the operator.
    pub client: Client,
    /// Says who somebody is and what they may.
    pub authority: Box<dyn Authority>,
    /// As the caller, for their decision alone.
    pub as_caller: AsCaller,
    /// The operator's namespace.
    pub operator_namespace: String,
    /// Which labels of an alert count.
    pub labels: LabelPolicy,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

/// What every request needs.
pub struct Shared {
    pub(super) client: Client,
    pub(super) access: Access,
    pub(super) as_caller: AsCaller,
    pub(super) operator_namespace: String,
    pub(super) labels: LabelPolicy,
    pub(super) tokens: Option<Tokens<String>>,
    pub(super) token_review: bool,
    pub(super) buckets: Option<Mutex<Buckets<String>>>,
    pub(super) turns: Semaphore,
    pub(super) lists: Semaphore,
    pub(super) streams: Arc<Semaphore>,
    pub(super) streams_of: Mutex<std::collections::HashMap<String, usize>>,
    pub(super) stream_for: Duration,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
}

/// A running HTTP API.
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    /// Ends when it is told to stop.
    pub task: tokio::task::JoinHandle<()>,
}

/// Binds, and serves until told to stop. `None` where none is configured.
pub async fn start(config: &ApiConfig, ways: Ways, stop: CancellationToken) -> Result<Option<Listening>, ApiError> {
    let Some(address) = config.listen else {
        return Ok(None);
    };
    config.check(address)?;
    let tls = Tls::open(config.tls())?;
    let tokens = match &config.token_file {
        Some(path) => Some(Tokens::open_as(path, caller::line).await?),
        None => None,
    };
    let shared = Shared {
        client: ways.client,
        access: Access::new(ways.authority),
        as_caller: ways.as_caller,
        operator_namespace: ways.operator_namespace,
        labels: ways.labels,
        tokens,
        token_review: config.token_review,
        buckets: (config.rate > 0).then(|| Mutex::new(Buckets::new(config.rate, config.rate.saturating_mul(5)))),
        turns: Semaphore::new(AT_ONCE),
        lists: Semaphore::new(LISTS),
        streams: Arc::new(Semaphore::new(STREAMS)),
        streams_of: Mutex::default(),
        stream_for: Duration::from_secs(config.stream_seconds.clamp(1, 540)),
        metrics: ways.metrics,
        stop: stop.clone(),
    };
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, tls = tls.is_some(), "the HTTP API listens");
    Ok(Some(Listening {
        address,
        task: tokio::spawn(listen::serve(listener, tls, router(Arc::new(shared)), stop)),
    }))
}

/// Every route. What is added here is added to `openapi` too: a test compares.
fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(openapi::INCIDENT, post(create::incident))
        .route(openapi::RUN, post(create::run))
        .route(openapi::INCIDENTS, get(read::list))
        .route(openapi::ONE, get(read::one))
        .route(openapi::DOCUMENT, get(read::document))
        .route(openapi::TRANSITIONS, get(transitions::stream))
        .route(openapi::APPROVAL, post(approval::decide))
        .route_layer(from_fn_with_state(shared.clone(), middleware::admit))
        .fallback(async || Problem::new(Kind::NotFound, "no such path; docs/api.md lists them"))
        .layer(from_fn_with_state(shared.clone(), middleware::envelope))
        .with_state(shared)
}
