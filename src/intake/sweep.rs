//! Finds webhooks that were missed: while nobody listened, Alertmanager gave up sending. Now and then its list of groups is read, and
//! what fires for a while and no incident knows is taken as if it had been sent. Runs where the lease is held; started by `run`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Uri, header};
use firewatch_core::intake::report::{self, Report};
use firewatch_core::intake::{Rejection, alertmanager};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::config::IntakeConfig;
use super::listen;
use super::store::Store;
use crate::incident::context::Context;
use crate::telemetry::metrics::IntakeLabel;

/// Younger alerts may still be on their way: groups wait, and are sent in intervals.
const GRACE: SignedDuration = SignedDuration::from_mins(5);
const EVERY: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why the list could not be read. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// An address that is none.
    #[error("--alertmanager-url: {0}")]
    Address(String),
    /// A file is not there or not readable.
    #[error("{0}")]
    File(String),
    /// No connection, or it broke.
    #[error("Alertmanager cannot be reached: {0}")]
    Unreachable(String),
    /// It answered something else.
    #[error("Alertmanager answered {0}")]
    Status(u16),
    /// What it answered is not a list of groups.
    #[error("Alertmanager's list of groups: {0}")]
    Rejected(#[from] Rejection),
}

/// Sweeps until told to stop.
pub async fn sweep(ctx: Arc<Context>, store: Arc<Store>, stop: CancellationToken) {
    let Some(url) = ctx.config.intake.alertmanager_url.clone() else {
        return;
    };
    loop {
        tokio::select! { () = tokio::time::sleep(EVERY) => {}, () = stop.cancelled() => return }
        let result = match once(&ctx, &store, &url).await {
            Ok(0) => "Accepted",
            Ok(missed) => {
                tracing::warn!(
                    missed,
                    "alerts fire that no webhook told of; they were taken from Alertmanager's list"
                );
                "Missed"
            }
            Err(error) => {
                tracing::warn!(%error, "Alertmanager's alerts could not be read");
                "Failed"
            }
        };
        ctx.metrics
            .intake_requests
            .get_or_create(&IntakeLabel {
                source: "sweep",
                result: result.to_owned(),
            })
            .inc();
    }
}

/// One look; how many reports no incident knew.
async fn once(ctx: &Context, store: &Arc<Store>, url: &str) -> Result<usize, SweepError> {
    let config = &ctx.config.intake;
    let body = tokio::time::timeout(PATIENCE, get(config, url))
        .await
        .map_err(|_| SweepError::Unreachable("no answer in time".into()))??;
    let now = Timestamp::now();
    let groups = alertmanager::parse_groups(&body, &config.alertmanager_receiver, now)?;
    let labels = config.labels().map_err(|error| SweepError::File(error.to_string()))?;
    let incidents = ctx.incidents.state();
    let known: BTreeSet<&str> = incidents
        .iter()
        .filter_map(|incident| incident.status.as_ref()?.alerts.as_ref())
        .flat_map(|alerts| alerts.seen.iter().map(String::as_str))
        .collect();
    let missed: Vec<Report> = groups
        .iter()
        .flat_map(|group| report::reports(group, &labels))
        .filter(|report| is_missed(report, &known, now))
        .collect();
    let count = missed.len();
    for report in missed {
        if let Err(error) = store.take(report).await {
            tracing::warn!(%error, "a missed alert could not be stored; it is found again");
        }
    }
    Ok(count)
}

fn is_missed(report: &Report, known: &BTreeSet<&str>, now: Timestamp) -> bool {
    report.firing.iter().any(|firing| {
        !known.contains(firing.identity.as_str()) && firing.starts_at.is_some_and(|at| now.duration_since(at) > GRACE)
    })
}

/// The list of groups, as Alertmanager answers it.
pub async fn get(config: &IntakeConfig, url: &str) -> Result<Bytes, SweepError> {
    let address = |why: &str| SweepError::Address(format!("{url}: {why}"));
    let uri: Uri = url.parse().map_err(|_| address("no URL"))?;
    let host = uri.host().ok_or_else(|| address("no host"))?.to_owned();
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(address("neither http nor https")),
    };
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let mut request = Request::get(format!(
        "{}/api/v2/alerts/groups?active=true&silenced=false&inhibited=false",
        uri.path().trim_end_matches('/')
    ))
    .header(header::HOST, format!("{host}:{port}"));
    if let Some(path) = &config.alertmanager_token_file {
        let token = tokio::fs::read_to_string(path)
            .await
            .map_err(|error| SweepError::File(format!("{}: {error}", path.display())))?;
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| address(&error.to_string()))?;
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(unreachable)?;
    if !secure {
        return exchange(stream, request).await;
    }
    let mut roots = RootCertStore::empty();
    let ca = config
        .alertmanager_ca
        .as_ref()
        .ok_or_else(|| address("https needs --alertmanager-ca"))?;
    for authority in listen::certificates(ca).map_err(|error| SweepError::File(error.to_string()))? {
        roots
            .add(authority)
            .map_err(|error| SweepError::File(error.to_string()))?;
    }
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host).map_err(|error| address(&error.to_string()))?;
    let stream = TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
        .map_err(unreachable)?;
    exchange(stream, request).await
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Bytes, SweepError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(unreachable)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(unreachable)?;
    let status = response.status();
    if !status.is_success() {
        return Err(SweepError::Status(status.as_u16()));
    }
    let body = Limited::new(response.into_body(), MAX_BYTES)
        .collect()
        .await
        .map_err(unreachable)?
        .to_bytes();
    connection.abort();
    Ok(body)
}

fn unreachable(error: impl std::fmt::Display) -> SweepError {
    SweepError::Unreachable(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::get as route;

    use super::*;

    #[tokio::test]
    async fn the_list_is_asked_for_under_the_prefix_and_with_the_token() {
        let router = Router::new().route(
            "/am/api/v2/alerts/groups",
            route(|headers: HeaderMap| async move {
                headers
                    .get("authorization")
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default()
                    .to_owned()
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(axum::serve(listener, router).into_future());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let config = IntakeConfig {
            alertmanager_token_file: Some(file.path().to_owned()),
            ..IntakeConfig::default()
        };
        let got = get(&config, &format!("http://{address}/am/")).await.unwrap();
        assert_eq!(got.as_ref(), b"Bearer secret");
        let lost = get(&config, &format!("http://{address}")).await;
        assert!(matches!(lost, Err(SweepError::Status(404))));
        server.abort();
        for bad in ["", "ftp://x", "/path"] {
            assert!(matches!(get(&config, bad).await, Err(SweepError::Address(_))), "{bad}");
        }
    }

    #[test]
    fn only_what_fires_for_a_while_and_is_not_known_was_missed() {
        let now = Timestamp::UNIX_EPOCH
            .saturating_add(SignedDuration::from_hours(1))
            .unwrap();
        let listed = |minutes: i64| {
            let starts = now.saturating_sub(SignedDuration::from_mins(minutes)).unwrap();
            let body = serde_json::json!([{
                "labels": {}, "receiver": { "name": "firewatch" },
                "alerts": [{ "labels": { "namespace": "shop" }, "startsAt": starts.to_string(), "fingerprint": "f", "status": { "state": "active" } }],
            }]);
            let groups = alertmanager::parse_groups(body.to_string().as_bytes(), "firewatch", now).unwrap();
            report::reports(
                groups.first().unwrap(),
                &firewatch_core::intake::target::LabelPolicy::default(),
            )
            .remove(0)
        };
        let (old, young) = (listed(10), listed(1));
        let known: BTreeSet<&str> = old.firing.iter().map(|f| f.identity.as_str()).collect();
        assert!(is_missed(&old, &BTreeSet::new(), now));
        assert!(!is_missed(&old, &known, now));
        assert!(!is_missed(&young, &BTreeSet::new(), now));
    }
}
