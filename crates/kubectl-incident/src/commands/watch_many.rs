//! `kubectl incident watch` without a name: all incidents as they change, as a table that is drawn anew on a terminal, else as a line
//! for each change. A watch that was lost is taken up again, and what changed or went meanwhile is told then. Called by `watch`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use firewatch_core::api::Incident;
use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};

use super::watch::for_good;
use super::{columns, print};
use crate::cli::WatchArgs;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::exit;
use crate::render::list::{Layout, table};
use crate::render::style::Palette;
use crate::render::watch::news;

/// How often the table is drawn while nothing changes: ages grow.
const DRAW: Duration = Duration::from_secs(5);
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Follows all until the time is over, or for ever.
pub async fn run(cluster: &Cluster, args: &WatchArgs) -> Result<u8> {
    let api: Api<Incident> = if args.all_namespaces {
        Api::all(cluster.client.clone())
    } else {
        cluster.incidents()
    };
    let mut config = watcher::Config::default();
    if let Some(selector) = &args.selector {
        config = config.labels(selector);
    }
    let drawn = args.output.is_none() && std::io::stdout().is_terminal();
    let palette = Palette::for_stdout();
    let mut known = Known::default();
    let mut stream = pin!(watcher::watcher(api, config).default_backoff());
    let end = args.timeout.map(|timeout| tokio::time::Instant::now() + timeout);
    let mut ticks = tokio::time::interval(DRAW);
    let mut interrupted = false;
    loop {
        let over = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            next = stream.next() => match next {
                None => return Ok(exit::OK),
                Some(Ok(event)) => {
                    interrupted = false;
                    for change in known.after(event) {
                        match (args.output.is_some(), drawn) {
                            (true, _) => print(&change.object()?)?,
                            (false, false) => change.lines(palette).iter().try_for_each(|line| print(line))?,
                            (false, true) => {}
                        }
                    }
                }
                Some(Err(error)) => {
                    for_good(&error, "incidents")?;
                    if !interrupted {
                        eprintln!("the watch was interrupted; trying again …");
                    }
                    interrupted = true;
                    continue;
                }
            },
            _ = ticks.tick(), if drawn => {}
            () = over => return Ok(exit::OK),
        }
        if drawn && known.complete {
            let layout = Layout {
                namespaces: args.all_namespaces,
                wide: false,
                columns: columns(),
                palette,
            };
            print(&format!("{CLEAR}{}", known.table(layout, Timestamp::now())))?;
        }
    }
}

type Key = (String, String);

/// What is known of the incidents that are followed.
#[derive(Default)]
struct Known {
    incidents: BTreeMap<Key, Incident>,
    /// Those that a list that is being read has named.
    listed: BTreeSet<Key>,
    /// Whether a first list was read to its end.
    complete: bool,
}

/// One incident that is not as it was.
struct Change {
    key: Key,
    before: Option<Incident>,
    /// None: it is gone.
    after: Option<Incident>,
}

impl Known {
    /// Takes an event in; what it changed.
    fn after(&mut self, event: Event<Incident>) -> Vec<Change> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(incident) => {
                self.listed.insert(key(&incident));
                self.is(incident).into_iter().collect()
            }
            Event::InitDone => {
                self.complete = true;
                let gone: Vec<Key> = self
                    .incidents
                    .keys()
                    .filter(|key| !self.listed.contains(*key))
                    .cloned()
                    .collect();
                gone.into_iter().filter_map(|key| self.is_gone(key)).collect()
            }
            Event::Apply(incident) => self.is(incident).into_iter().collect(),
            Event::Delete(incident) => self.is_gone(key(&incident)).into_iter().collect(),
        }
    }

    fn is(&mut self, incident: Incident) -> Option<Change> {
        let key = key(&incident);
        let before = self.incidents.insert(key.clone(), incident.clone());
        // The same again, after a watch was taken up: nothing to tell.
        let same = before
            .as_ref()
            .is_some_and(|before| before.resource_version() == incident.resource_version());
        (!same).then_some(Change {
            key,
            before,
            after: Some(incident),
        })
    }

    fn is_gone(&mut self, key: Key) -> Option<Change> {
        let before = self.incidents.remove(&key)?;
        Some(Change {
            key,
            before: Some(before),
            after: None,
        })
    }

    fn table(&self, layout: Layout, now: Timestamp) -> String {
        if self.incidents.is_empty() {
            return "No incidents yet.\n".to_owned();
        }
        let mut all: Vec<Incident> = self.incidents.values().cloned().collect();
        all.sort_by_key(|incident| (incident.creation_timestamp().map(|at| at.0), key(incident)));
        table(&all, layout, now)
    }
}

impl Change {
    /// What there is to say, each line with whose it is.
    fn lines(&self, palette: Palette) -> Vec<String> {
        let (namespace, name) = &self.key;
        let Some(after) = &self.after else {
            return vec![format!("{namespace}/{name}  is gone\n")];
        };
        let before = self.before.as_ref().and_then(|incident| incident.status.as_ref());
        news(before, &after.status.clone().unwrap_or_default(), usize::MAX, palette)
            .into_iter()
            .map(|line| format!("{namespace}/{name}  {}\n", line.trim_start()))
            .collect()
    }

    /// The object, in one line.
    fn object(&self) -> Result<String> {
        let object = self.after.as_ref().or(self.before.as_ref());
        let line = serde_json::to_string(&object).map_err(|error| Error::Input(error.to_string()))?;
        Ok(format!("{line}\n"))
    }
}

fn key(incident: &Incident) -> Key {
    (incident.namespace().unwrap_or_default(), incident.name_any())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::render::fixture;

    fn named(name: &str, version: &str) -> Incident {
        let mut incident = fixture::incident();
        incident.metadata.name = Some(name.to_owned());
        incident.metadata.resource_version = Some(version.to_owned());
        incident
    }

    fn told(known: &mut Known, event: Event<Incident>) -> Vec<String> {
        let changes = known.after(event);
        changes
            .iter()
            .flat_map(|change| change.lines(Palette::plain()))
            .collect()
    }

    #[test]
    fn each_change_is_a_line_that_says_whose_it_is() {
        let mut known = Known::default();
        assert!(told(&mut known, Event::Init).is_empty());
        let first = told(&mut known, Event::InitApply(named("a", "1")));
        assert!(first.iter().all(|line| line.starts_with("shop/a  ")), "{first:?}");
        assert!(!first.is_empty());
        assert!(told(&mut known, Event::InitDone).is_empty());
        let mut over = fixture::remediated();
        over.metadata.name = Some("a".to_owned());
        over.metadata.resource_version = Some("2".to_owned());
        let ended = told(&mut known, Event::Apply(over));
        assert!(ended.concat().contains("Remediated"), "{ended:?}");
        assert_eq!(told(&mut known, Event::Delete(named("a", "3"))), ["shop/a  is gone\n"]);
    }

    #[test]
    fn after_a_lost_watch_what_changed_or_went_is_told_and_nothing_twice() {
        let mut known = Known::default();
        for name in ["a", "b"] {
            told(&mut known, Event::Apply(named(name, "1")));
        }
        assert!(told(&mut known, Event::Init).is_empty());
        assert!(
            told(&mut known, Event::InitApply(named("a", "1"))).is_empty(),
            "it is as it was"
        );
        assert_eq!(told(&mut known, Event::InitDone), ["shop/b  is gone\n"]);
        assert!(known.complete);
    }

    #[test]
    fn the_table_has_all_of_them() {
        let mut known = Known::default();
        let layout = || Layout {
            namespaces: false,
            wide: false,
            columns: 120,
            palette: Palette::plain(),
        };
        assert!(known.table(layout(), fixture::now()).contains("No incidents"));
        for name in ["second-incident", "first-incident"] {
            known.after(Event::Apply(named(name, "1")));
        }
        let table = known.table(layout(), fixture::now());
        assert!(table.find("first-incident") < table.find("second-incident"), "{table}");
        assert_eq!(table.lines().count(), 3, "{table}");
    }
}
