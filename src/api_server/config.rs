//! What the HTTP API is told at start. Part of the operator's flags; checked before anything listens.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::intake::IntakeError;
use crate::intake::listen::TlsFiles;

/// How the HTTP API runs. Each flag can be given as the environment variable beside it.
#[derive(Args, Clone, Debug, Default)]
pub struct ApiConfig {
    /// Address for the HTTP API. Absent: there is none.
    #[arg(id = "api_listen", long = "api-listen", env = "FIREWATCH_API_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Whether callers may show a token of the cluster, which its API server reviews.
    #[arg(long = "api-token-review", env = "FIREWATCH_API_TOKEN_REVIEW", default_value_t = true, action = clap::ArgAction::Set)]
    pub token_review: bool,
    /// Audiences that such a token must be for; none: those of the API server. Only a token for the API server can decide about a plan.
    #[arg(long = "api-audiences", env = "FIREWATCH_API_AUDIENCES", value_delimiter = ',')]
    pub audiences: Vec<String>,
    /// File with tokens of its own, one `token,name` a line; read again when it changes. Who shows one is the user firewatch-api:name.
    #[arg(id = "api_token_file", long = "api-token-file", env = "FIREWATCH_API_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificate chain of the HTTP API, PEM.
    #[arg(
        id = "api_tls_cert",
        long = "api-tls-cert",
        env = "FIREWATCH_API_TLS_CERT",
        requires = "api_tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(
        id = "api_tls_key",
        long = "api-tls-key",
        env = "FIREWATCH_API_TLS_KEY",
        requires = "api_tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
    /// Authorities of client certificates, PEM: callers must show one of them, and a token all the same.
    #[arg(
        id = "api_client_ca",
        long = "api-client-ca",
        env = "FIREWATCH_API_CLIENT_CA",
        requires = "api_tls_cert"
    )]
    pub client_ca: Option<PathBuf>,
    /// Serve plain HTTP beyond loopback: only where something else encrypts, because callers send their tokens.
    #[arg(long = "api-plain-http", env = "FIREWATCH_API_PLAIN_HTTP", default_value_t = false, action = clap::ArgAction::Set)]
    pub plain_http: bool,
    /// Requests a second that one user may send; five times as many at once. 0: as many as they like.
    #[arg(id = "api_rate", long = "api-rate", env = "FIREWATCH_API_RATE", default_value_t = 20)]
    pub rate: u32,
    /// After so many seconds a stream of transitions ends, and its reader is asked again who they are.
    #[arg(long = "api-stream-seconds", env = "FIREWATCH_API_STREAM_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=540))]
    pub stream_seconds: u64,
}

/// Why the HTTP API cannot run. The operator does not start: it would seem to be served and is not.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody could be admitted.
    #[error(
        "--api-listen without --api-token-review and without --api-token-file: nobody could be admitted; give one of them"
    )]
    Unauthenticated,
    /// Tokens would travel in the clear.
    #[error(
        "--api-listen {0} without --api-tls-cert: callers send their own tokens; give a certificate, or --api-plain-http=true where something else encrypts"
    )]
    Plain(SocketAddr),
    /// The token file or the certificates.
    #[error("{0}")]
    Files(#[from] IntakeError),
    /// The port is taken.
    #[error("--api-listen: {0}")]
    Listen(#[from] std::io::Error),
}

impl ApiConfig {
    /// Its TLS files.
    pub fn tls(&self) -> TlsFiles {
        TlsFiles {
            cert: self.tls_cert.clone(),
            key: self.tls_key.clone(),
            client_ca: self.client_ca.clone(),
        }
    }

    /// Whether it can be served like this on this address.
    pub fn check(&self, address: SocketAddr) -> Result<(), ApiError> {
        if !self.token_review && self.token_file.is_none() {
            return Err(ApiError::Unauthenticated);
        }
        if self.tls_cert.is_none() && !self.plain_http && !address.ip().is_loopback() {
            return Err(ApiError::Plain(address));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tokens_do_not_travel_in_the_clear_unless_that_is_said() {
        let mut config = ApiConfig {
            token_review: true,
            ..ApiConfig::default()
        };
        let everywhere: SocketAddr = "0.0.0.0:8444".parse().unwrap();
        assert!(matches!(config.check(everywhere), Err(ApiError::Plain(_))));
        assert!(config.check("127.0.0.1:8444".parse().unwrap()).is_ok());
        config.plain_http = true;
        assert!(config.check(everywhere).is_ok());
        config.token_review = false;
        assert!(matches!(config.check(everywhere), Err(ApiError::Unauthenticated)));
    }
}
