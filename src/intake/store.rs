//! From reports to Incidents in the API server. Reports of one group go through one lane, one write at a time and together where they came
//! together: a storm of one group is a handful of writes. What is to be done is decided in the core; this reads, writes under the
//! resourceVersion that was read, and starts again where somebody else was first. Called by `server`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firewatch_core::api::Incident;
use firewatch_core::intake::merge::{self, Todo};
use firewatch_core::intake::report::{
    self, GROUPED_BY_LABEL, Ground, KEY_LABEL, OPT_IN_LABEL, OPT_IN_VALUE, Place, Report,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{Semaphore, oneshot};

use crate::telemetry::metrics::{Metrics, ReasonLabel};

/// Reports that wait to be stored, of all groups.
const MAX_WAITING: usize = 1024;
/// Groups that are written at once.
const WRITERS: usize = 16;
/// How long a sender waits for its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a batch starts again because somebody else wrote first.
const ATTEMPTS: u32 = 8;

/// Why a report was not stored.
#[derive(Debug, thiserror::Error, Clone)]
pub enum NotStored {
    /// More than can be held.
    #[error("too much is waiting")]
    Full,
    /// No answer in time.
    #[error("the API server did not take it in time")]
    TimedOut,
    /// The API server refused or could not be reached.
    #[error("the API server: {0}")]
    Api(String),
    /// An object of that name is no incident of this group.
    #[error("the incident {0} exists and belongs to another group")]
    Foreign(String),
}

enum Failure {
    Conflict,
    Other(NotStored),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() => Self::Conflict,
            // Gone between the read and the write: look again.
            kube::Error::Api(status) if status.is_not_found() => Self::Conflict,
            other => Self::Other(NotStored::Api(other.to_string())),
        }
    }
}

type Answer = oneshot::Sender<Result<Option<String>, NotStored>>;

#[derive(Default)]
struct Lane {
    waiting: Mutex<Vec<(Report, Answer)>>,
    busy: tokio::sync::Mutex<()>,
}

/// Stores reports.
pub struct Store {
    client: Client,
    operator_namespace: String,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    room: Arc<Semaphore>,
    writers: Semaphore,
    metrics: Arc<Metrics>,
}

impl Store {
    /// With nothing waiting.
    pub fn new(client: Client, operator_namespace: &str, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            operator_namespace: operator_namespace.to_owned(),
            lanes: Mutex::default(),
            room: Arc::new(Semaphore::new(MAX_WAITING)),
            writers: Semaphore::new(WRITERS),
            metrics,
        }
    }

    /// Stores a report; `namespace/name` of its incident, or nothing where none was needed. Goes on when the caller is gone.
    pub async fn take(self: &Arc<Self>, report: Report) -> Result<Option<String>, NotStored> {
        let permit = self.room.clone().try_acquire_owned().map_err(|_| NotStored::Full)?;
        let (answer, answered) = oneshot::channel();
        let (store, key) = (self.clone(), report.key.clone());
        let lane = self.queue(report, answer);
        tokio::spawn(async move {
            store.drain(&key, &lane).await;
            drop(permit);
        });
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(NotStored::TimedOut),
        }
    }

    fn queue(&self, report: Report, answer: Answer) -> Arc<Lane> {
        // Under the lock of all lanes, so that `drain` never lets go of a lane in which something waits.
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(report.key.clone()).or_default().clone();
        lane.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((report, answer));
        lane
    }

    async fn drain(&self, key: &str, lane: &Arc<Lane>) {
        let busy = lane.busy.lock().await;
        let batch = std::mem::take(&mut *lane.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !batch.is_empty() {
            let (reports, answers): (Vec<Report>, Vec<Answer>) = batch.into_iter().unzip();
            let result = match self.writers.acquire().await {
                Ok(_permit) => self.apply(&reports).await,
                Err(_) => Err(NotStored::Full),
            };
            for answer in answers {
                // Whoever asked may be gone.
                let _ = answer.send(result.clone());
            }
        }
        drop(busy);
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = lane.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        // The map's own and this one.
        if idle && Arc::strong_count(lane) == 2 {
            lanes.remove(key);
        }
    }

    async fn apply(&self, reports: &[Report]) -> Result<Option<String>, NotStored> {
        for attempt in 0..ATTEMPTS {
            match self.try_apply(reports).await {
                Ok(name) => return Ok(name),
                Err(Failure::Conflict) => tokio::time::sleep(Duration::from_millis(20 << attempt.min(6))).await,
                Err(Failure::Other(error)) => {
                    self.count(if matches!(error, NotStored::Api(_)) {
                        "ApiError"
                    } else {
                        "Foreign"
                    });
                    return Err(error);
                }
            }
        }
        self.count("Conflict");
        Err(NotStored::TimedOut)
    }

    /// One try at all of them: read once, decide in memory, write once.
    async fn try_apply(&self, reports: &[Report]) -> Result<Option<String>, Failure> {
        let Some(first) = reports.first() else { return Ok(None) };
        let ground = self.ground(first.named.namespace.as_deref()).await?;
        let api: Api<Incident> = Api::namespaced(
            self.client.clone(),
            &report::place(&first.named, ground, &self.operator_namespace).namespace,
        );
        let mut known: BTreeMap<String, Incident> = api
            .list(&ListParams::default().labels(&format!("{KEY_LABEL}={}", first.key)))
            .await?
            .into_iter()
            .map(|incident| (incident.name_any(), incident))
            .collect();
        if known.is_empty() {
            // What the sweep found has no group key, and the webhook that comes after all has: the firings tell that they are one.
            known = api
                .list(&ListParams::default().labels(&format!("{GROUPED_BY_LABEL}={}", first.grouped_by)))
                .await?
                .into_iter()
                .filter(|incident| reports.iter().any(|report| merge::knows(incident, report)))
                .map(|incident| (incident.name_any(), incident))
                .collect();
        }
        if known.is_empty() && first.firing.is_empty() {
            known = self.marked(reports, &first.key).await?;
        }
        let mut written: Option<String> = None;
        let mut dirty: Vec<String> = Vec::new();
        let now = Timestamp::now();
        for report in reports {
            let all: Vec<Incident> = known.values().cloned().collect();
            match merge::decide(&all, report, now) {
                Todo::Nothing => {}
                Todo::Open {
                    number,
                    previous,
                    refired,
                } => {
                    let place = report::place(&report.named, ground, &self.operator_namespace);
                    let mut made = self.open(&api, report, &place, number, previous.as_deref()).await?;
                    let (alerts, occurrences) = merge::first(refired, report, now);
                    let status = made.status.get_or_insert_default();
                    (status.alerts, status.occurrences) = (Some(alerts), occurrences);
                    let name = made.name_any();
                    dirty.push(name.clone());
                    known.insert(name, made);
                }
                Todo::Merge {
                    name,
                    alerts,
                    occurrences,
                } => {
                    if let Some(incident) = known.get_mut(&name) {
                        let status = incident.status.get_or_insert_default();
                        (status.alerts, status.occurrences) = (Some(alerts), occurrences);
                        if !dirty.contains(&name) {
                            dirty.push(name);
                        }
                    }
                }
            }
        }
        for name in dirty {
            if let Some(incident) = known.get(&name) {
                note(&self.client, incident).await?;
            }
        }
        if let Some((_, latest)) = known
            .values()
            .filter_map(|i| Some((report::number(&i.name_any())?, i)))
            .max_by_key(|(number, _)| *number)
        {
            written = Some(format!(
                "{}/{}",
                latest.namespace().unwrap_or_default(),
                latest.name_any()
            ));
            self.count("Stored");
        }
        Ok(written)
    }

    /// Incidents of these reports wherever they are: what resolves need not repeat where it began. Only those that remember the sender's
    /// incident, which nobody but the intake writes into a status.
    async fn marked(&self, reports: &[Report], key: &str) -> Result<BTreeMap<String, Incident>, Failure> {
        if reports.iter().all(|report| report.marks.is_empty()) {
            return Ok(BTreeMap::new());
        }
        let all = Api::<Incident>::all(self.client.clone());
        let found = all
            .list(&ListParams::default().labels(&format!("{KEY_LABEL}={key}")))
            .await?;
        Ok(found
            .into_iter()
            .filter(|incident| reports.iter().any(|report| merge::knows(incident, report)))
            .map(|incident| (incident.name_any(), incident))
            .collect())
    }

    /// What is known of the namespace that the alert names. Nothing is remembered: an opt-in that was taken back holds at once.
    async fn ground(&self, namespace: Option<&str>) -> Result<Ground, Failure> {
        let Some(name) = namespace else {
            return Ok(Ground::Absent);
        };
        let found = Api::<Namespace>::all(self.client.clone()).get_opt(name).await?;
        Ok(match found {
            None => Ground::Absent,
            Some(found) if found.labels().get(OPT_IN_LABEL).map(String::as_str) == Some(OPT_IN_VALUE) => {
                Ground::OptedIn
            }
            Some(_) => Ground::Silent,
        })
    }

    async fn open(
        &self,
        api: &Api<Incident>,
        report: &Report,
        place: &Place,
        number: u64,
        previous: Option<&str>,
    ) -> Result<Incident, Failure> {
        let wanted = report::incident(report, place, number, previous);
        match api.create(&PostParams::default(), &wanted).await {
            Ok(made) => {
                self.count("Opened");
                tracing::info!(incident = %format!("{}/{}", place.namespace, made.name_any()), note = ?place.note, "an alert made an incident");
                Ok(made)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let there = api.get(&wanted.name_any()).await?;
                if there.labels().get(KEY_LABEL) == Some(&report.key) {
                    // Another replica was first.
                    Err(Failure::Conflict)
                } else {
                    Err(Failure::Other(NotStored::Foreign(wanted.name_any())))
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn count(&self, result: &str) {
        self.metrics
            .intake_stored
            .get_or_create(&ReasonLabel {
                reason: result.to_owned(),
            })
            .inc();
    }
}

/// Writes the alerts' part of an incident's status, under the resourceVersion that was read; the rest of it is the loop's.
async fn note(client: &Client, incident: &Incident) -> Result<(), Failure> {
    let Some(status) = &incident.status else { return Ok(()) };
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": incident.resource_version() },
        "status": { "alerts": status.alerts, "occurrences": status.occurrences },
    });
    let api: Api<Incident> = Api::namespaced(client.clone(), &incident.namespace().unwrap_or_default());
    api.patch_status(&incident.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}
