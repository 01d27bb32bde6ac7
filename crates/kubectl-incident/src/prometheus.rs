//! The way to a Prometheus that the user names: the core's fixed queries as GET requests, bounded in time and bytes.
//!
//! Must never send anything else, and sends the token to that URL alone. Called by `investigate`.

use std::path::Path;
use std::time::{Duration, Instant};

use firewatch_core::agents::Question;
use firewatch_core::metrics::outcome::{Asked, Exchange, evidence};
use firewatch_core::metrics::query::{Request, request};
use firewatch_core::metrics::{ANSWER_BYTES_MAX, ANSWER_TIMEOUT_MS};
use firewatch_core::sandbox::evidence::Evidence;
use firewatch_core::sandbox::policy::Tenancy;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use k8s_openapi::jiff::Timestamp;
use kube::client::Body;
use kube::{Client, Config};

use crate::cli::InvestigateArgs;
use crate::error::{Error, Result};

/// One Prometheus.
#[derive(Clone)]
pub struct Prometheus {
    client: Client,
    token: Option<http::HeaderValue>,
}

impl Prometheus {
    /// The one that `--prometheus` names, if it does. Nothing is sent yet.
    pub fn from_args(args: &InvestigateArgs) -> Result<Option<Self>> {
        let Some(url) = &args.prometheus else { return Ok(None) };
        let wrong = |flag: &str, message: &dyn std::fmt::Display| Error::Input(format!("{flag}: {message}"));
        let uri: http::Uri = url.parse().map_err(|error| wrong("--prometheus", &error))?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let plain = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none();
        if !scheme || !plain {
            return Err(wrong(
                "--prometheus",
                &format!(
                    "`{url}` is no base URL; write for example http://localhost:9090, and a token into --prometheus-token-file"
                ),
            ));
        }
        let mut config = Config::new(uri);
        config.connect_timeout = Some(Duration::from_secs(3));
        if let Some(path) = &args.prometheus_ca_file {
            config.root_cert = Some(certificates(path)?);
        }
        let token = match &args.prometheus_token_file {
            Some(path) => {
                let flag = "--prometheus-token-file";
                let text = std::fs::read_to_string(path).map_err(|error| wrong(flag, &error))?;
                let mut value = http::HeaderValue::try_from(format!("Bearer {}", text.trim()))
                    .map_err(|_| wrong(flag, &"it holds no token; put the token alone into it"))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let client = Client::try_from(config).map_err(|error| wrong("--prometheus", &error))?;
        Ok(Some(Self { client, token }))
    }

    /// Answers one question. What cannot be read is evidence too, and says why.
    pub async fn ask(&self, question: Question, tenancy: &Tenancy) -> Evidence {
        let begun = Instant::now();
        let mut asked = Asked {
            id: question.id,
            role: question.role,
            command: question.command,
            request: None,
        };
        let exchange = match request(asked.role, tenancy, &asked.command, Timestamp::now()) {
            Ok(request) => {
                let most = Duration::from_millis(ANSWER_TIMEOUT_MS);
                let exchange = tokio::time::timeout(most, self.send(&request)).await;
                asked.request = Some(request);
                exchange.unwrap_or(Exchange::TimedOut)
            }
            Err(refusal) => Exchange::NotAsked(refusal),
        };
        let duration = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        evidence(asked, &exchange, duration, Timestamp::now())
    }

    async fn send(&self, request: &Request) -> Exchange {
        let mut get = http::Request::get(format!("/{}", request.path_and_query()));
        if let Some(token) = &self.token {
            get = get.header(http::header::AUTHORIZATION, token);
        }
        let get = match get.body(Body::empty()) {
            Ok(get) => get,
            Err(error) => return Exchange::Failed(error.to_string()),
        };
        let response = match self.client.send(get).await {
            Ok(response) => response,
            Err(error) => return Exchange::Failed(format!("Prometheus could not be asked: {error}")),
        };
        let status = response.status().as_u16();
        match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(body) => Exchange::Answered(status, body.to_bytes().to_vec()),
            Err(error) if error.is::<LengthLimitError>() => Exchange::TooLarge,
            Err(error) => Exchange::Failed(format!("Prometheus' answer broke off: {error}")),
        }
    }
}

/// Certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let wrong =
        |error: &dyn std::fmt::Display| Error::Input(format!("--prometheus-ca-file {}: {error}", path.display()));
    let all = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    let all: std::result::Result<Vec<_>, _> = all.map(|one| one.map(|der| der.to_vec())).collect();
    let all = all.map_err(|error| wrong(&error))?;
    if all.is_empty() {
        return Err(wrong(&"it holds no certificate; name a PEM file"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;
    use firewatch_core::api::Role;
    use firewatch_core::metrics::Metric;
    use firewatch_core::sandbox::command::{Command, Resource};
    use firewatch_core::sandbox::evidence::EvidenceState;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cli::{Cli, Command as Given};
    use crate::exit;

    fn of(flags: &[&str]) -> Result<Option<Prometheus>> {
        // An error means that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let all = ["kubectl-incident", "investigate"].iter().chain(flags);
        let Given::Investigate(args) = Cli::parse_from(all).command else {
            unreachable!("investigate was asked for")
        };
        Prometheus::from_args(&args)
    }

    fn question() -> Question {
        Question {
            id: "E4".to_owned(),
            role: Role::SreInvestigator,
            command: Command::Metrics {
                metric: Metric::Memory,
                resource: Resource::Deployments,
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
            },
        }
    }

    /// Answers one request with `answer`; what was asked comes back.
    async fn served(flags: &[&str], answer: &'static str) -> (Evidence, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).await.unwrap();
                head.extend(byte);
            }
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap()
        });
        let mut all = vec!["--prometheus", url.as_str()];
        all.extend(flags);
        let prometheus = of(&all).unwrap().unwrap();
        let own = Tenancy::Namespaces(vec!["shop".to_owned()]);
        let evidence = prometheus.ask(question(), &own).await;
        (evidence, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_question_is_one_get_below_the_base_url_and_its_answer_is_evidence() {
        let body = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"web-6d4b9c7f58-x7k2p","container":"app"},"values":[[1750000000,"1048576"]]}]}}"#;
        let answer: &'static str = Box::leak(
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .into_boxed_str(),
        );
        let file = tempfile_with("s3cret\n");
        let (evidence, asked) = served(&["--prometheus-token-file", file.to_str().unwrap()], answer).await;
        std::fs::remove_file(file).unwrap();
        assert_eq!((evidence.id.as_str(), evidence.state), ("E4", EvidenceState::Complete));
        assert!(evidence.output.contains("web-6d4b9c7f58-x7k2p"), "{}", evidence.output);
        assert!(
            asked.starts_with("GET /base/api/v1/query_range?query=max%20by"),
            "{asked}"
        );
        assert!(
            asked.to_ascii_lowercase().contains("authorization: bearer s3cret"),
            "{asked}"
        );
    }

    fn tempfile_with(text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("firewatch-token-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[tokio::test]
    async fn a_refusal_and_a_server_that_hangs_up_are_states_not_errors() {
        let (evidence, _) = served(
            &[],
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )
        .await;
        assert_eq!(evidence.state, EvidenceState::Forbidden);
        let (evidence, _) = served(&[], "").await;
        assert_eq!(evidence.state, EvidenceState::Failed);
        let foreign = of(&["--prometheus", "http://127.0.0.1:9"]).unwrap().unwrap();
        let other = Tenancy::Namespaces(vec!["bank".to_owned()]);
        assert_eq!(foreign.ask(question(), &other).await.state, EvidenceState::Forbidden);
    }

    #[test]
    fn a_url_that_is_none_is_named_with_its_remedy() {
        assert!(of(&[]).unwrap().is_none());
        for bad in [
            "localhost",
            "localhost:9090",
            "ftp://x",
            "http://user:pw@x:9090",
            "http://x/?a=b",
        ] {
            let error = of(&["--prometheus", bad]).err().unwrap();
            assert_eq!(error.exit_code(), exit::USAGE, "{bad}");
            assert!(error.to_string().contains("http://localhost:9090"), "{error}");
        }
    }
}
