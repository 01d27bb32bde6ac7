//! Connections of the intake and of the HTTP API: plain or TLS, with client certificates where an authority of them is configured.
//! Everything a client may be slow with has an end: its handshake, its headers, its connection; and there are only so many connections.
//! Called by `server` here and in `api_server`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::config::IntakeError;

const MAX_CONNECTIONS: usize = 256;
const HANDSHAKE: Duration = Duration::from_secs(5);
const HEADERS: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_mins(10);
const READ_AGAIN: Duration = Duration::from_secs(30);

/// Who is on the other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Where certificates are, PEM. Without a certificate: plain HTTP.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Its own chain.
    pub cert: Option<PathBuf>,
    /// The key of that.
    pub key: Option<PathBuf>,
    /// Authorities of those that clients must show.
    pub client_ca: Option<PathBuf>,
}

/// The TLS side, read again from its files now and then: certificates are renewed.
pub struct Tls {
    files: TlsFiles,
    current: Mutex<(Arc<ServerConfig>, Instant)>,
}

impl Tls {
    /// Reads the files for the first time; none where TLS is not configured.
    pub fn open(files: TlsFiles) -> Result<Option<Self>, IntakeError> {
        let Some(server) = server_config(&files)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            files,
            current: Mutex::new((server, Instant::now())),
        }))
    }

    async fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().await;
        if current.1.elapsed() > READ_AGAIN {
            match server_config(&self.files) {
                Ok(Some(server)) => current.0 = server,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "certificates could not be read again"),
            }
            current.1 = Instant::now();
        }
        TlsAcceptor::from(current.0.clone())
    }
}

fn server_config(files: &TlsFiles) -> Result<Option<Arc<ServerConfig>>, IntakeError> {
    let (Some(cert), Some(key)) = (&files.cert, &files.key) else {
        return Ok(None);
    };
    let chain = certificates(cert)?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, &error))?;
    let builder = match &files.client_ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(ca)? {
                roots.add(authority).map_err(|error| file(ca, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                .build()
                .map_err(|error| file(ca, &error))?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let server = builder
        .with_single_cert(chain, key_der)
        .map_err(|error| file(cert, &error))?;
    Ok(Some(Arc::new(server)))
}

/// The certificates of a PEM file, at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IntakeError> {
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| file(path, &error))?;
    if all.is_empty() {
        return Err(file(path, &"holds no certificate"));
    }
    Ok(all)
}

fn file(path: &Path, error: &dyn std::fmt::Display) -> IntakeError {
    IntakeError::File {
        path: path.display().to_string(),
        error: error.to_string(),
    }
}

/// Takes connections until told to stop.
pub async fn serve(listener: TcpListener, tls: Option<Tls>, router: Router, stop: CancellationToken) {
    let tls = tls.map(Arc::new);
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! { accepted = listener.accept() => accepted, () = stop.cancelled() => return };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, say: it passes.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (router, tls, stop) = (router.clone(), tls.clone(), stop.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let Some(tls) = tls else {
                return connection(stream, peer, router, stop).await;
            };
            match tokio::time::timeout(HANDSHAKE, tls.acceptor().await.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, peer, router, stop).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake"),
                Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
            }
        });
    }
}

async fn connection<S>(stream: S, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => { connection.as_mut().graceful_shutdown(); connection.await }
        () = tokio::time::sleep(CONNECTION) => { connection.as_mut().graceful_shutdown(); connection.await }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection");
    }
}
