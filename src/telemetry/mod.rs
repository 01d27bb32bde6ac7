//! What the operator shows of itself: logs, metrics, health, Kubernetes events. It never shows an incident's text in a label.

pub mod events;
pub mod gauges;
pub mod http;
pub mod metrics;

/// JSON logs to stdout, filtered by `RUST_LOG` (default `info`).
pub fn init_logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,kube=warn,hyper=warn"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_current_span(true)
        .init();
}
