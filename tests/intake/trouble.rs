//! Senders that are not, or not yet, what they should be: no token, no certificate, too much, too slow, too large, broken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firewatch::intake::store::Store;
use firewatch::intake::{IntakeConfig, IntakeError, server};
use firewatch::telemetry::metrics::Metrics;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::world::{Answer, Running, TOKEN, World, alert, exchange, notification, send};

fn body(world: &World) -> Value {
    let labels = json!({ "alertname": "A", "namespace": world.open, "deployment": "d" });
    notification("g", vec![alert("firing", "2026-05-01T12:00:00Z", &labels)])
}

fn is_problem(answer: &Answer, status: u16, title: &str) {
    assert_eq!(
        (answer.status, answer.body["title"].as_str()),
        (status, Some(title)),
        "{answer:?}"
    );
    assert!(
        answer.head.contains("content-type: application/problem+json"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn whoever_has_no_token_gets_nothing_in() {
    let world = World::new("unauth").await;
    let intake = world.intake(|_| {}).await;
    let sent = body(&world).to_string();
    for headers in [
        vec![],
        vec!["Authorization: Bearer wrong-token-wrong-token"],
        vec!["Authorization: Basic YTpi"],
    ] {
        is_problem(
            &send(intake.address, &headers, sent.as_bytes()).await,
            401,
            "Unauthenticated",
        );
    }
    assert!(world.all(&world.open).await.is_empty());
    intake.stops().await;
    world.over().await;
}

#[tokio::test]
async fn an_intake_without_authentication_does_not_start() {
    let world = World::new("open").await;
    let config = IntakeConfig {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        ..IntakeConfig::default()
    };
    let metrics = Arc::new(Metrics::default());
    let store = Arc::new(Store::new(world.admin.clone(), "x", metrics.clone()));
    let started = server::start(&config, store, metrics, CancellationToken::new()).await;
    assert!(matches!(started, Err(IntakeError::Unauthenticated)));
    world.over().await;
}

#[tokio::test]
async fn a_bad_body_is_refused_whole_and_names_the_field() {
    let world = World::new("bad").await;
    let intake = world.intake(|_| {}).await;
    let mut sent = body(&world);
    let mut second = sent["alerts"][0].clone();
    second["labels"]["n"] = json!(7);
    sent["alerts"].as_array_mut().unwrap().push(second);
    let answer = intake.post(&sent).await;
    is_problem(&answer, 400, "Rejected");
    assert_eq!(
        (answer.body["field"].as_str(), answer.body["reason"].as_str()),
        (Some("alerts[1].labels.n"), Some("WrongType"))
    );
    assert!(world.all(&world.open).await.is_empty(), "nothing is half-stored");

    let large = vec![b' '; 10 * 1024 * 1024];
    let authorization = format!("Authorization: Bearer {TOKEN}");
    is_problem(&send(intake.address, &[&authorization], &large).await, 413, "Rejected");
    intake.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_client_that_sends_too_much_is_asked_to_come_again() {
    let world = World::new("rate").await;
    let intake = world.intake(|config| config.rate = 1).await;
    let mut refused = None;
    for _ in 0..40 {
        let answer = send(intake.address, &[], b"{}").await;
        if answer.status == 503 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a burst is bounded");
    is_problem(&refused, 503, "RateLimited");
    assert!(refused.head.contains("retry-after:"));
    intake.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_client_that_sends_its_headers_drop_by_drop_is_let_go() {
    let world = World::new("slow").await;
    let intake = world.intake(|_| {}).await;
    let mut stream = TcpStream::connect(intake.address).await.unwrap();
    stream
        .write_all(b"POST /webhooks/alertmanager HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still open");
    intake.stops().await;
    world.over().await;
}

/// A little authority, and what it signed.
struct Authority(tempfile::TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        authority.run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=test-ca");
        for (name, extension) in [("server", "serverAuth"), ("client", "clientAuth")] {
            authority.run(&format!(
                "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} && \
                 printf 'subjectAltName=DNS:intake\\nextendedKeyUsage={extension}\\n' > {name}.ext && \
                 openssl x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.crt"
            ));
        }
        authority
    }

    fn run(&self, line: &str) {
        let output = std::process::Command::new("sh")
            .args(["-ec", line])
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn post(
        &self,
        intake: &Running,
        with: Option<&Self>,
        headers: &[&str],
        body: &Value,
    ) -> std::io::Result<Answer> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.path("ca.crt"))).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let config = match with {
            None => builder.with_no_client_auth(),
            Some(other) => builder
                .with_client_auth_cert(
                    vec![certificate(&other.path("client.crt"))],
                    PrivateKeyDer::from_pem_file(other.path("client.key")).unwrap(),
                )
                .unwrap(),
        };
        let stream = TcpStream::connect(intake.address).await?;
        let name = ServerName::try_from("intake").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        exchange(&mut stream, headers, body.to_string().as_bytes()).await
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

#[tokio::test]
async fn where_certificates_are_asked_for_one_of_the_right_authority_gets_in_and_no_other() {
    let world = World::new("mtls").await;
    let (ours, theirs) = (Authority::new(), Authority::new());
    let tls = |config: &mut IntakeConfig| {
        config.tls_cert = Some(ours.path("server.crt"));
        config.tls_key = Some(ours.path("server.key"));
        config.client_ca = Some(ours.path("ca.crt"));
    };
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let body = body(&world);

    let both = world.intake(tls).await;
    assert_eq!(
        ours.post(&both, Some(&ours), &[&authorization], &body)
            .await
            .unwrap()
            .status,
        200
    );
    let without_token = ours.post(&both, Some(&ours), &[], &body).await.unwrap();
    is_problem(&without_token, 401, "Unauthenticated");
    assert!(
        ours.post(&both, None, &[&authorization], &body).await.is_err(),
        "no certificate"
    );
    assert!(
        ours.post(&both, Some(&theirs), &[&authorization], &body).await.is_err(),
        "another authority's"
    );
    both.stops().await;

    let only = world
        .intake(|config| {
            tls(config);
            config.token_file = None;
        })
        .await;
    assert_eq!(ours.post(&only, Some(&ours), &[], &body).await.unwrap().status, 200);
    only.stops().await;
    world.over().await;
}
