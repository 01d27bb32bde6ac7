//! Senders of webhooks over connections that stay open, and what they measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub const TOKEN: &str = "a-token-for-load-only";
pub const GROUPS: usize = 40;
/// What a fingerprint is before the sender puts one there.
const BLANK: &str = "________________";

/// One group's notification of so many alerts, as Alertmanager sends it.
pub fn notification(namespace: &str, group: usize, alerts: usize) -> Value {
    let alerts: Vec<Value> = (0..alerts)
        .map(|n| {
            json!({
                "status": "firing",
                "labels": { "alertname": format!("Load{group}"), "namespace": namespace, "deployment": format!("d{group}"),
                            "pod": format!("d{group}-7d9c5b8f6-{n}"), "severity": "warning", "job": "kube-state-metrics" },
                "annotations": { "summary": "Pods restart", "description": "A pod restarted more than five times in ten minutes.",
                                 "runbook_url": "https://runbooks.example/pods" },
                "startsAt": "2026-05-01T12:00:00.000Z", "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus.monitoring/graph?g0.expr=rate%28restarts%5B10m%5D%29&g0.tab=1",
                "fingerprint": if n == 0 { BLANK.to_owned() } else { format!("{group:08x}{n:08x}") },
            })
        })
        .collect();
    json!({
        "version": "4", "groupKey": format!("{{}}:{{alertname=\"Load{group}\"}}"), "truncatedAlerts": 0, "status": "firing",
        "receiver": "firewatch", "groupLabels": { "alertname": format!("Load{group}") }, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager.monitoring", "alerts": alerts,
    })
}

/// A whole request, with the place of its first fingerprint.
struct Prepared {
    bytes: Vec<u8>,
    at: Option<usize>,
}

fn prepare(body: &[u8], token: &str) -> Prepared {
    let head = format!(
        "POST /webhooks/alertmanager HTTP/1.1\r\nHost: intake\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let bytes = [head.as_bytes(), body].concat();
    let at = bytes.windows(BLANK.len()).position(|window| window == BLANK.as_bytes());
    Prepared { bytes, at }
}

/// What is sent, by whom, for how long.
#[derive(Clone)]
pub struct Load {
    pub namespace: String,
    pub alerts: usize,
    pub connections: usize,
    pub lasts: Duration,
    /// One in so many notifications holds a firing that was not sent before; the others are repeats.
    pub fresh_every: usize,
    /// One in so many bodies is bad, and one in so many has a wrong token; 0: none.
    pub bad_every: usize,
}

/// What came of it.
#[derive(Default)]
pub struct Measured {
    pub taken: u64,
    pub rejected: u64,
    /// Answers that ask to send again, after which it was sent again.
    pub told_again: u64,
    /// Answers that nothing asked for.
    pub unexpected: u64,
    /// Firings that were sent and taken, by group.
    pub firings: Vec<u64>,
    pub took: Vec<Duration>,
    pub lasted: Duration,
}

impl Measured {
    pub fn percentile(&self, of_hundred: usize) -> Duration {
        let at = self.took.len().saturating_sub(1) * of_hundred / 100;
        self.took.get(at).copied().unwrap_or_default()
    }
}

/// Sends until the time is over; whatever was told to be sent again is sent until it is taken.
pub async fn send(address: SocketAddr, load: &Load) -> Measured {
    let began = Instant::now();
    let load = Arc::new(load.clone());
    let senders: Vec<_> = (0..load.connections)
        .map(|number| tokio::spawn(one(address, load.clone(), number, began + load.lasts)))
        .collect();
    let mut all = Measured {
        firings: vec![0; GROUPS],
        ..Measured::default()
    };
    for sender in senders {
        let one = sender.await.expect("a sender");
        all.taken += one.taken;
        all.rejected += one.rejected;
        all.told_again += one.told_again;
        all.unexpected += one.unexpected;
        all.took.extend(one.took);
        for (sum, more) in all.firings.iter_mut().zip(&one.firings) {
            *sum += more;
        }
    }
    all.lasted = began.elapsed();
    all.took.sort();
    all
}

/// Each connection has groups of its own, so that what is fresh is known without asking the others.
async fn one(address: SocketAddr, load: Arc<Load>, number: usize, end: Instant) -> Measured {
    let groups: Vec<usize> = (number..GROUPS).step_by(load.connections).collect();
    let mut good: Vec<Prepared> = groups
        .iter()
        .map(|group| {
            prepare(
                notification(&load.namespace, *group, load.alerts)
                    .to_string()
                    .as_bytes(),
                TOKEN,
            )
        })
        .collect();
    let bad = [
        prepare(b"{\"version\":\"4\",\"alerts\":7}", TOKEN),
        prepare(
            notification(&load.namespace, 0, 1).to_string().as_bytes(),
            "a-token-of-somebody-else",
        ),
    ];
    let mut told = Measured {
        firings: vec![0; GROUPS],
        ..Measured::default()
    };
    let mut stream = BufReader::new(TcpStream::connect(address).await.expect("the intake listens"));
    let mut fresh = vec![0_u64; groups.len()];
    let (mut turn, mut of_group) = (0_usize, vec![0_usize; groups.len()]);
    while Instant::now() < end {
        turn += 1;
        if load.bad_every > 0 && turn.is_multiple_of(load.bad_every) {
            for request in &bad {
                match exchange(&mut stream, &request.bytes).await {
                    Some(400 | 401) => told.rejected += 1,
                    answer => {
                        told.unexpected += 1;
                        if answer.is_none() {
                            stream = BufReader::new(TcpStream::connect(address).await.expect("the intake listens"));
                        }
                    }
                }
            }
        }
        let which = turn % groups.len();
        let is_fresh = of_group[which].is_multiple_of(load.fresh_every);
        if is_fresh {
            fresh[which] += 1;
        }
        of_group[which] += 1;
        let request = &mut good[which];
        if let Some(place) = request.at.and_then(|at| request.bytes.get_mut(at..at + BLANK.len())) {
            place.copy_from_slice(format!("{:08x}{:08x}", groups[which] + 1_000_000, fresh[which]).as_bytes());
        }
        loop {
            let began = Instant::now();
            match exchange(&mut stream, &request.bytes).await {
                Some(200 | 204) => {
                    told.took.push(began.elapsed());
                    told.taken += 1;
                    break;
                }
                Some(503) => {
                    told.told_again += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                answer => {
                    told.unexpected += 1;
                    if answer.is_none() {
                        stream = BufReader::new(TcpStream::connect(address).await.expect("the intake listens"));
                    }
                }
            }
        }
        // The first time its other alerts are new too.
        told.firings[groups[which]] += match (of_group[which], is_fresh) {
            (1, _) => load.alerts as u64,
            (_, true) => 1,
            _ => 0,
        };
    }
    told
}

/// One request and its status; none where the connection broke.
async fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) -> Option<u16> {
    stream.get_mut().write_all(request).await.ok()?;
    let (mut status, mut length) = (None, 0_usize);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if status.is_none() {
            status = Some(line.split(' ').nth(1)?.parse().ok()?);
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    status
}
