//! The transitions of one incident as server-sent events, from a watch of the object. A stream ends when the incident is over or gone, after
//! some minutes in any case (its reader is then asked again who they are), and when the operator stops; there are only so many of them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use firewatch_core::api::{Incident, Phase};
use futures::{Stream, StreamExt};
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::Wish;
use super::caller::Caller;
use super::input::Named;
use super::openapi;
use super::problem::{Kind, Problem};
use super::read;
use super::server::{STREAMS_OF_ONE, Shared};

/// No incident has more transitions.
const MAX_SEQUENCE: i64 = 2_147_483_647;
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Follows an incident.
#[utoipa::path(get, path = "/incidents/{namespace}/{name}/transitions", operation_id = "followIncident", tag = "incidents", params(openapi::PathParams, openapi::StreamParams), responses(
    (status = 200, description = "Events `state` (where it stands), `transition` (id: its sequence), and at the end `end` (it is over), `gone`, or `again` (connect again)", body = super::models::StreamEvent, content_type = "text/event-stream"),
))]
pub async fn stream(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    at: Named,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let after = last_event(&headers)?;
    // Found first, so that what is not there is told as such.
    read::incident(&shared, &caller.user, &at).await?;
    let wish = Wish::one("watch", "incidents", &at.namespace, &at.name);
    shared.access.demand(&caller.user, wish).await?;
    let place = Place::take(&shared, &caller.user.name)?;
    let api: Api<Incident> = Api::namespaced(shared.client.clone(), &at.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", at.name));
    let follower = Follower {
        watch: Box::pin(watcher(api, config).default_backoff()),
        story: Story::after(after),
        ready: VecDeque::new(),
        until: Instant::now() + shared.stream_for,
        stop: shared.stop.clone(),
        over: false,
        _place: place,
    };
    let events = futures::stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("nothing new")))
}

/// Where a reader that was cut off goes on.
fn last_event(headers: &HeaderMap) -> Result<i64, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(0);
    };
    value
        .to_str()
        .ok()
        .filter(|text| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|number| *number <= MAX_SEQUENCE)
        .ok_or_else(|| Problem::invalid("Last-Event-ID", "is not the id of an event of this stream: a number"))
}

/// One of the streams that may be open; given back when it is dropped.
struct Place {
    shared: Arc<Shared>,
    user: String,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(shared: &Arc<Shared>, user: &str) -> Result<Self, Problem> {
        let overloaded = || {
            Problem::new(
                Kind::Overloaded,
                format!("too many streams are open (of one user {STREAMS_OF_ONE} at most); close one"),
            )
        };
        let permit = shared.streams.clone().try_acquire_owned().map_err(|_| overloaded())?;
        let mut of = shared.streams_of.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of.entry(user.to_owned()).or_default();
        if *count >= STREAMS_OF_ONE {
            return Err(overloaded());
        }
        *count += 1;
        shared.metrics.api_streams.inc();
        drop(of);
        Ok(Self {
            shared: shared.clone(),
            user: user.to_owned(),
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of = self.shared.streams_of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                of.remove(&self.user);
            }
        }
        self.shared.metrics.api_streams.dec();
    }
}

type Watch = Pin<Box<dyn Stream<Item = Result<watcher::Event<Incident>, watcher::Error>> + Send>>;

struct Follower {
    watch: Watch,
    story: Story,
    ready: VecDeque<Told>,
    until: Instant,
    stop: CancellationToken,
    over: bool,
    _place: Place,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                self.over |= told.is_last();
                return Some(told.event());
            }
            if self.over {
                return None;
            }
            let seen = tokio::select! {
                seen = self.watch.next() => seen,
                () = tokio::time::sleep_until(self.until) => None,
                () = self.stop.cancelled() => None,
            };
            match seen {
                None => self.ready.push_back(Told::again()),
                Some(Ok(event)) => self.ready.extend(self.story.hear(event)),
                // The watch tries again by itself, ever less often.
                Some(Err(error)) => tracing::debug!(%error, "watching an incident for the HTTP API"),
            }
        }
    }
}

/// One event, before it is one.
#[derive(Debug, PartialEq)]
struct Told {
    name: &'static str,
    id: Option<i64>,
    data: serde_json::Value,
}

impl Told {
    fn again() -> Self {
        Self {
            name: "again",
            id: None,
            data: json!({}),
        }
    }

    fn is_last(&self) -> bool {
        matches!(self.name, "end" | "gone" | "again")
    }

    fn event(&self) -> Event {
        let event = Event::default().event(self.name);
        let event = match self.id {
            Some(id) => event.id(id.to_string()),
            None => event,
        };
        // JSON holds no line breaks, so that no text of an incident can pass for an event.
        event.json_data(&self.data).unwrap_or_default()
    }
}

/// How far the reader knows the story.
#[derive(Debug)]
struct Story {
    told: i64,
    begun: bool,
    present: bool,
}

impl Story {
    fn after(sequence: i64) -> Self {
        Self {
            told: sequence,
            begun: false,
            present: false,
        }
    }

    fn hear(&mut self, event: watcher::Event<Incident>) -> Vec<Told> {
        match event {
            watcher::Event::Init => {
                self.present = false;
                Vec::new()
            }
            watcher::Event::InitApply(incident) | watcher::Event::Apply(incident) => {
                self.present = true;
                self.news(&incident)
            }
            watcher::Event::InitDone if self.present => Vec::new(),
            watcher::Event::InitDone | watcher::Event::Delete(_) => vec![Told {
                name: "gone",
                id: None,
                data: json!({}),
            }],
        }
    }

    /// What the reader does not know yet.
    fn news(&mut self, incident: &Incident) -> Vec<Told> {
        let status = incident.status.clone().unwrap_or_default();
        let state = json!({
            "sequence": status.sequence, "phase": status.phase, "outcome": status.outcome, "message": status.message,
            "approval": status.approval_state, "planDigest": status.plan.as_ref().map(|plan| &plan.digest),
        });
        let mut news = Vec::new();
        let mut told = self.told;
        for entry in status.outbox.iter().filter(|entry| entry.sequence > self.told) {
            told = told.max(entry.sequence);
            news.push(Told {
                name: "transition",
                id: Some(entry.sequence),
                data: json!({
                    "sequence": entry.sequence, "at": entry.at, "from": entry.from, "to": entry.to, "actor": entry.actor,
                    "reason": entry.reason, "message": entry.message, "hash": entry.hash,
                }),
            });
        }
        // What was stored meanwhile has left the object: the state stands for it.
        if !self.begun || status.sequence > told {
            news.push(Told {
                name: "state",
                id: (status.sequence > 0).then_some(status.sequence),
                data: state.clone(),
            });
        }
        self.begun = true;
        self.told = told.max(status.sequence);
        if status.phase == Phase::Completed {
            news.push(Told {
                name: "end",
                id: None,
                data: state,
            });
        }
        news
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use firewatch_core::api::IncidentStatus;
    use kube::runtime::watcher::Event as Seen;

    use super::*;

    fn incident(sequence: i64, stored: i64, phase: &str) -> Incident {
        let outbox: Vec<_> = (stored + 1..=sequence)
            .map(|n| {
                json!({ "sequence": n, "at": "2026-01-01T00:00:00Z", "from": "Pending", "to": phase, "actor": "operator",
                    "reason": "Accepted", "message": "a\n\nevent: end", "payloadDigest": "", "previousHash": "", "hash": "h" })
            })
            .collect();
        let status: IncidentStatus =
            serde_json::from_value(json!({ "phase": phase, "sequence": sequence, "outbox": outbox })).unwrap();
        let spec = serde_json::from_value(json!({ "title": "t" })).unwrap();
        Incident {
            status: Some(status),
            ..Incident::new("i", spec)
        }
    }

    fn names(told: &[Told]) -> Vec<(&'static str, Option<i64>)> {
        told.iter().map(|one| (one.name, one.id)).collect()
    }

    #[test]
    fn each_transition_is_told_once_and_the_end_is_told() {
        let mut story = Story::after(0);
        assert!(story.hear(Seen::Init).is_empty());
        let first = story.hear(Seen::InitApply(incident(2, 0, "Triaging")));
        assert_eq!(
            names(&first),
            [("transition", Some(1)), ("transition", Some(2)), ("state", Some(2))]
        );
        assert!(story.hear(Seen::InitDone).is_empty());
        assert!(
            story.hear(Seen::Apply(incident(2, 1, "Triaging"))).is_empty(),
            "it was only stored"
        );
        let next = story.hear(Seen::Apply(incident(3, 2, "Investigating")));
        assert_eq!(names(&next), [("transition", Some(3))]);
        let end = story.hear(Seen::Apply(incident(4, 3, "Completed")));
        assert_eq!(names(&end), [("transition", Some(4)), ("end", None)]);
        assert!(end[1].is_last());
    }

    #[test]
    fn what_has_left_the_object_is_told_as_a_state() {
        let mut story = Story::after(0);
        story.hear(Seen::InitApply(incident(1, 0, "Triaging")));
        let jumped = story.hear(Seen::Apply(incident(5, 5, "Planning")));
        assert_eq!(names(&jumped), [("state", Some(5))]);
        assert_eq!(jumped[0].data["phase"], "Planning");
    }

    #[test]
    fn a_reader_that_comes_again_goes_on_where_it_was() {
        let mut story = Story::after(2);
        let news = story.hear(Seen::InitApply(incident(3, 0, "Investigating")));
        assert_eq!(names(&news), [("transition", Some(3)), ("state", Some(3))]);
    }

    #[test]
    fn an_incident_that_is_gone_ends_the_stream() {
        let mut story = Story::after(0);
        story.hear(Seen::InitApply(incident(1, 0, "Triaging")));
        assert_eq!(
            names(&story.hear(Seen::Delete(incident(1, 0, "Triaging")))),
            [("gone", None)]
        );
        story.hear(Seen::Init);
        assert_eq!(names(&story.hear(Seen::InitDone)), [("gone", None)]);
    }

    #[test]
    fn no_text_of_an_incident_passes_for_an_event() {
        let mut story = Story::after(0);
        let told = story.news(&incident(1, 0, "Triaging"));
        assert!(!told[0].data.to_string().contains('\n'));
    }

    #[test]
    fn the_last_event_is_a_number() {
        let headers =
            |text: &'static str| HeaderMap::from_iter([("last-event-id".parse().unwrap(), text.parse().unwrap())]);
        assert_eq!(last_event(&HeaderMap::new()).unwrap(), 0);
        assert_eq!(last_event(&headers("12")).unwrap(), 12);
        for bad in ["", "-1", "x", "99999999999999999999"] {
            assert!(last_event(&headers(bad)).is_err(), "{bad}");
        }
    }
}
