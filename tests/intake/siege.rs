//! A storm against an intake in a process of its own, which is killed, and whose API server refuses for a while. Every sender behaves as
//! Alertmanager does, and each group has two of them. At the end: one incident for each group, every alert counted once.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use firewatch::intake::store::Store;
use firewatch::intake::{IntakeConfig, server};
use firewatch::telemetry::metrics::Metrics;
use firewatch_core::api::Incident;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::world::{self, TOKEN, Tried, World, alert, notification};

/// Where a process that is to be an intake finds out so.
const CHILD: &str = "FIREWATCH_STORM_INTAKE";
const PATIENCE: Duration = Duration::from_mins(2);

/// How large, and what happens meanwhile.
#[derive(Clone, Copy)]
pub struct Siege {
    pub groups: usize,
    /// Of each group.
    pub alerts: usize,
    /// Alertmanager sends the whole group each time: here with so many more alerts.
    pub step: usize,
    /// How often the intake is killed.
    pub kills: usize,
    /// For how long the API server refuses.
    pub refuses: Duration,
}

/// What senders have seen.
#[derive(Default)]
struct Tally {
    taken: AtomicUsize,
    tried: Tried,
}

/// Runs it, and asserts that nothing was lost or doubled.
pub async fn withstands(name: &str, siege: Siege) {
    let world = World::new(name).await;
    let wall = Wall::build().await;
    let mut token = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut token, TOKEN.as_bytes()).unwrap();
    let address = free_address().await;
    let orders = json!({ "listen": address, "api": wall.address.port(), "token": token.path(), "own": world.own });
    let mut intake = start(&orders, address).await;

    let tally = Arc::new(Tally::default());
    let (stage, staged) = watch::channel(false);
    let senders: Vec<_> = (0..siege.groups)
        .flat_map(|group| [group, group])
        .map(|group| {
            let (namespace, tally, staged) = (world.open.clone(), tally.clone(), staged.clone());
            tokio::spawn(async move { sender(address, &namespace, group, siege, &tally, staged).await })
        })
        .collect();

    // Killed while it writes: the first incidents are there, and not all that was sent is.
    until("the first incident", async || !world.all(&world.open).await.is_empty()).await;
    intake.kill().await.unwrap();
    intake = start(&orders, address).await;

    // The senders go on past the middle only when the API server refuses.
    wall.refuses.store(true, Ordering::SeqCst);
    let refused_at = Instant::now();
    let before = tally.tried.told_again.load(Ordering::SeqCst);
    stage.send(true).unwrap();
    until("a refusal", async || {
        tally.tried.told_again.load(Ordering::SeqCst) > before
    })
    .await;
    tokio::time::sleep(siege.refuses.saturating_sub(refused_at.elapsed())).await;
    let while_refused = tally.taken.load(Ordering::SeqCst);
    wall.refuses.store(false, Ordering::SeqCst);

    for _ in 1..siege.kills {
        until("the storm to go on", async || {
            tally.taken.load(Ordering::SeqCst) > while_refused
        })
        .await;
        intake.kill().await.unwrap();
        intake = start(&orders, address).await;
    }
    for sender in senders {
        tokio::time::timeout(PATIENCE, sender)
            .await
            .expect("the storm ends")
            .unwrap();
    }

    let incidents = world.all(&world.open).await;
    assert_eq!(incidents.len(), siege.groups, "one for each group");
    for incident in &incidents {
        assert_eq!(counted(incident), siege.alerts, "{:?}", incident.metadata.name);
    }
    let sent = siege.groups * 2 * siege.alerts.div_ceil(siege.step);
    assert_eq!(
        tally.taken.load(Ordering::SeqCst),
        sent,
        "every notification was taken in the end"
    );
    println!(
        "{} alerts of {} groups, {sent} notifications: 0 lost, 0 doubled; {} answered 5xx, {} cut off, {} kills, {:?} refused",
        siege.groups * siege.alerts,
        siege.groups,
        tally.tried.told_again.load(Ordering::SeqCst),
        tally.tried.cut.load(Ordering::SeqCst),
        siege.kills,
        siege.refuses,
    );
    intake.kill().await.unwrap();
    world.over().await;
}

fn counted(incident: &Incident) -> usize {
    let status = incident.status.as_ref().unwrap();
    let seen = status.alerts.as_ref().unwrap().seen.len();
    let occurrences = usize::try_from(status.occurrences).unwrap();
    assert_eq!(occurrences, seen, "each firing once");
    occurrences
}

async fn sender(
    address: SocketAddr,
    namespace: &str,
    group: usize,
    siege: Siege,
    tally: &Tally,
    mut staged: watch::Receiver<bool>,
) {
    for upto in (siege.step..siege.alerts + siege.step).step_by(siege.step) {
        if upto > siege.alerts / 2 {
            staged.wait_for(|staged| *staged).await.unwrap();
        }
        let body = body(namespace, group, upto.min(siege.alerts));
        world::post_until_taken(address, &body, &tally.tried).await;
        tally.taken.fetch_add(1, Ordering::SeqCst);
    }
}

fn body(namespace: &str, group: usize, upto: usize) -> Value {
    let alerts = (0..upto)
        .map(|n| {
            let labels = json!({ "alertname": format!("A{group}"), "namespace": namespace, "deployment": format!("d{group}"), "n": n.to_string() });
            alert("firing", "2026-05-01T12:00:00Z", &labels)
        })
        .collect();
    notification(&format!("{{}}:{{alertname=\"A{group}\"}}"), alerts)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Starts this program again as an intake, and waits until it listens.
async fn start(orders: &Value, address: SocketAddr) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "siege::an_intake_in_a_process_of_its_own", "--nocapture"])
        .env(CHILD, orders.to_string())
        // Its end tells the child that this process is gone, however it went.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until("the intake", async || TcpStream::connect(address).await.is_ok()).await;
    child
}

/// Not a test by itself: what `start` starts.
#[tokio::test(flavor = "multi_thread")]
async fn an_intake_in_a_process_of_its_own() {
    let Ok(orders) = std::env::var(CHILD) else { return };
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    let orders: Value = serde_json::from_str(&orders).unwrap();
    let mut config = crate::definitions::operator_config().await.0;
    let server_name = config.cluster_url.host().unwrap().to_owned();
    config.tls_server_name = Some(server_name);
    config.cluster_url = format!("https://127.0.0.1:{}", orders["api"]).parse().unwrap();
    config.proxy_url = None;
    let metrics = Arc::new(Metrics::default());
    let client = kube::Client::try_from(config).unwrap();
    let store = Arc::new(Store::new(client, orders["own"].as_str().unwrap(), metrics.clone()));
    let config = IntakeConfig {
        listen: Some(orders["listen"].as_str().unwrap().parse().unwrap()),
        token_file: Some(orders["token"].as_str().unwrap().into()),
        rate: 100_000,
        ..IntakeConfig::default()
    };
    let listening = server::start(&config, store, metrics, CancellationToken::new()).await;
    listening.unwrap().unwrap().task.await.unwrap();
}

/// What stands between the intake and the API server, and cuts every connection while it refuses.
struct Wall {
    address: SocketAddr,
    refuses: Arc<AtomicBool>,
}

impl Wall {
    async fn build() -> Self {
        let api = crate::definitions::operator_config().await.0.cluster_url;
        let target = format!("{}:{}", api.host().unwrap(), api.port_u16().unwrap_or(443));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let refuses = Arc::new(AtomicBool::new(false));
        let refusing = refuses.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, refusing) = (target.clone(), refusing.clone());
                tokio::spawn(async move {
                    let cut = async {
                        while !refusing.load(Ordering::SeqCst) {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    };
                    let carry = async {
                        let mut far = TcpStream::connect(target).await?;
                        tokio::io::copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! { () = cut => {}, _ = carry => {} }
                });
            }
        });
        Self { address, refuses }
    }
}
