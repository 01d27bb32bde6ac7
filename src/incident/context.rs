//! What every reconcile needs: clients, configuration, the record's sink, metrics. Built once by `main`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use firewatch_core::api::{Incident, ResponsePolicy};
use kube::Client;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use tokio::sync::Mutex;

use super::payload::Record;
use crate::approval::guard::GuardWatch;
use crate::config::Config;
use crate::model::Models;
use crate::notify::Notifier;
use crate::prometheus::Prometheus;
use crate::store::AuditSink;
use crate::telemetry::metrics::Metrics;

/// What every reconcile needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Flags.
    pub config: Config,
    /// Where the record goes.
    pub sink: Arc<dyn AuditSink>,
    /// The way to models, where one is configured.
    pub models: Option<Models>,
    /// Who is told, where anybody is.
    pub notifier: Option<Arc<Notifier>>,
    /// The way to a Prometheus, where one is configured.
    pub prometheus: Option<Prometheus>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Events.
    pub recorder: Recorder,
    /// Whether the guards are intact.
    pub guard: GuardWatch,
    /// All policies.
    pub policies: Store<ResponsePolicy>,
    /// All incidents, for capacity.
    pub incidents: Store<Incident>,
    /// Uids of incidents that have begun and that the cache may still show waiting. Whoever lets one begin holds it meanwhile.
    pub beginning: Mutex<BTreeSet<String>>,
    /// Records already read; they are immutable.
    pub records: Mutex<HashMap<String, Arc<Record>>>,
    /// What the relay knows of each incident.
    pub relayed: Mutex<HashMap<String, super::relay::Relayed>>,
}
