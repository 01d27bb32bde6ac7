//! `make bench` and `make load` for the intake. `bench`: the listener's own code over loopback with an API server in memory, on one core,
//! beside the same listener that answers 204 and does nothing. `storm`: bounded storms, with repeats, bad bodies and wrong tokens,
//! against the API server of KUBECONFIG; what was sent is then counted there. Both print tables; `storm` fails where something was lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::missing_panics_doc,
    missing_docs
)]

mod memory;
mod sender;
mod storm;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use firewatch::intake::store::Store;
use firewatch::intake::{IntakeConfig, listen, server};
use firewatch::telemetry::metrics::Metrics;
use http_body_util::BodyExt;
use sender::{Load, TOKEN};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bench"] => bench(),
        ["storm"] => storm::run(),
        ["serve", what, rest @ ..] => serve(what, rest.first().copied()),
        _ => {
            eprintln!("usage: intake_load bench | storm");
            std::process::exit(2);
        }
    }
}

/// A runtime of one thread: what the process does beside it does not count.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Serves until its input ends, and tells then how often the API server was asked. `intake` with an API server in memory, `floor` without
/// work, `cluster` with that of KUBECONFIG.
fn serve(what: &str, own_namespace: Option<&str>) {
    let calls = Arc::new(memory::Calls::default());
    let (what, own) = (what.to_owned(), own_namespace.unwrap_or("firewatch-system").to_owned());
    let of_server = calls.clone();
    std::thread::Builder::new()
        .name("intake".into())
        .spawn(move || runtime().block_on(serving(&what, &own, of_server)))
        .unwrap();
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    println!(
        "{} {}",
        calls.reads.load(Ordering::Relaxed),
        calls.writes.load(Ordering::Relaxed)
    );
}

/// Where Firewatch is installed, as its operator: to nobody else is a status of an Incident allowed.
async fn as_operator() -> kube::Client {
    const USER: &str = "system:serviceaccount:firewatch-system:firewatch";
    let mut config = kube::Config::infer()
        .await
        .expect("KUBECONFIG leads to a cluster: make cluster-up");
    let client = kube::Client::try_from(config.clone()).unwrap();
    let accounts: kube::Api<k8s_openapi::api::core::v1::ServiceAccount> =
        kube::Api::namespaced(client.clone(), "firewatch-system");
    if accounts.get_opt("firewatch").await.unwrap().is_none() {
        return client;
    }
    config.auth_info.impersonate = Some(USER.to_owned());
    kube::Client::try_from(config).unwrap()
}

async fn serving(what: &str, own: &str, calls: Arc<memory::Calls>) {
    let stop = CancellationToken::new();
    if what == "floor" {
        let nothing = |body: axum::body::Body| async move {
            let _ = body.collect().await;
            axum::http::StatusCode::NO_CONTENT
        };
        let router = axum::Router::new().fallback(nothing);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        return listen::serve(listener, None, router, stop).await;
    }
    let client = match what {
        "cluster" => {
            let _ = rustls::crypto::ring::default_provider().install_default();
            as_operator().await
        }
        _ => memory::client(calls),
    };
    let mut token = tempfile::NamedTempFile::new().unwrap();
    writeln!(token, "{TOKEN}").unwrap();
    let config = IntakeConfig {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        token_file: Some(token.path().to_owned()),
        rate: 1_000_000,
        ..IntakeConfig::default()
    };
    let metrics = Arc::new(Metrics::default());
    let store = Arc::new(Store::new(client, own, metrics.clone()));
    let listening = server::start(&config, store, metrics, stop).await.unwrap().unwrap();
    println!("{}", listening.address);
    listening.task.await.unwrap();
}

/// A server in a process of its own, whose processor time and memory are its own too.
pub struct Server {
    process: Child,
    output: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.trim().parse().expect("an address");
        Self {
            process,
            output,
            address,
        }
    }

    /// What the thread that serves has had of the processor.
    pub fn processor(&self) -> Duration {
        let tasks = format!("/proc/{}/task", self.process.id());
        for task in std::fs::read_dir(tasks).unwrap().map(|task| task.unwrap().path()) {
            if std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "intake") {
                let text = std::fs::read_to_string(task.join("schedstat")).unwrap();
                return Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap());
            }
        }
        Duration::ZERO
    }

    /// The most memory it had, in MiB.
    pub fn memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Stops it: reads and writes of the API server.
    pub fn stop(mut self) -> (u64, u64) {
        drop(self.process.stdin.take());
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        self.process.wait().unwrap();
        let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap_or_default());
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    }
}

fn bench() {
    println!(
        "| alerts a body | alerts/s on one core | p50 | p99 | API server asked, of 1,000 alerts | peak memory | 204 without work, bodies/s on one core | of that |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for alerts in [1, 10, 100] {
        let load = Load {
            namespace: "shop".into(),
            alerts,
            connections: 8,
            lasts: Duration::from_secs(3),
            fresh_every: 10,
            bad_every: 0,
        };
        let run = |what: &str| {
            let server = Server::start(&[what]);
            let measured = tokio::runtime::Runtime::new()
                .unwrap()
                .block_on(sender::send(server.address, &load));
            assert_eq!(measured.unexpected, 0, "an answer that nothing asked for");
            let bodies = measured.taken as f64 / server.processor().as_secs_f64();
            (measured, bodies, server.memory(), server.stop())
        };
        let (_, floor, ..) = run("floor");
        let (measured, bodies, memory, (reads, writes)) = run("intake");
        let sent = (measured.taken * alerts as u64) as f64;
        println!(
            "| {alerts} | {:.0} | {:.1} ms | {:.1} ms | {:.1} reads, {:.2} writes | {memory} MiB | {floor:.0} | {:.0} % |",
            bodies * alerts as f64,
            measured.percentile(50).as_secs_f64() * 1000.0,
            measured.percentile(99).as_secs_f64() * 1000.0,
            reads as f64 * 1000.0 / sent,
            writes as f64 * 1000.0 / sent,
            100.0 * bodies / floor,
        );
    }
}
