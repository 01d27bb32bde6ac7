//! The timeline as a picture: lanes below each other, lengths in hundredths of the width, so that one drawing fits a phone and a page.
//! Pure geometry. Called by `page`.

use firewatch_core::report::timeline::{Activity, Bar, Timeline};
use k8s_openapi::jiff::Timestamp;

use crate::render::text::span;

/// Height of a lane: its title and its bar.
const LANE: usize = 46;
/// Room for the times above.
const TOP: usize = 22;
/// Per cent: what took no time is still seen.
const THINNEST: f64 = 0.6;

/// What the template draws.
pub(super) struct Picture {
    pub height: usize,
    pub ticks: Vec<Tick>,
    pub lanes: Vec<DrawnLane>,
    pub rows: Vec<Row>,
}

/// One time above the lanes.
pub(super) struct Tick {
    pub x: String,
    pub anchor: &'static str,
    pub text: String,
}

/// One lane.
pub(super) struct DrawnLane {
    pub title: String,
    pub text_y: usize,
    pub bar_y: usize,
    pub bars: Vec<DrawnBar>,
}

/// One bar.
pub(super) struct DrawnBar {
    pub class: &'static str,
    pub x: String,
    pub width: String,
    pub label: &'static str,
    pub took: String,
}

/// One phase in words.
pub(super) struct Row {
    pub class: &'static str,
    pub label: &'static str,
    pub began: String,
    pub took: String,
}

pub(super) fn draw(timeline: &Timeline) -> Picture {
    let whole = seconds(timeline.start, timeline.end).max(1.0);
    let place = |at: Timestamp| (seconds(timeline.start, at) / whole * 100.0).clamp(0.0, 100.0);
    let ticks = [(0.0, "start"), (50.0, "middle"), (100.0, "end")]
        .into_iter()
        .map(|(x, anchor)| Tick {
            x: per_cent(x),
            anchor,
            text: match anchor {
                "start" => clock(timeline.start),
                "end" => clock(timeline.end),
                _ => format!("{} in all", took(timeline.start, timeline.end)),
            },
        })
        .collect();
    let lanes: Vec<DrawnLane> = timeline
        .lanes
        .iter()
        .enumerate()
        .map(|(index, lane)| {
            let top = TOP + index * LANE;
            let bars: Vec<DrawnBar> = lane
                .bars
                .iter()
                .map(|bar| {
                    let width = (place(bar.to) - place(bar.from)).max(THINNEST);
                    DrawnBar {
                        class: class(bar.activity),
                        x: per_cent(place(bar.from).min(100.0 - width)),
                        width: per_cent(width),
                        label: bar.label,
                        took: took(bar.from, bar.to),
                    }
                })
                .collect();
            let title = match lane.bars.as_slice() {
                [bar] => format!("{} · {}", lane.title, took(bar.from, bar.to)),
                _ => lane.title.to_owned(),
            };
            DrawnLane {
                title,
                text_y: top + 15,
                bar_y: top + 21,
                bars,
            }
        })
        .collect();
    let rows = timeline
        .lanes
        .first()
        .map_or_else(Vec::new, |phases| phases.bars.iter().map(row).collect());
    Picture {
        height: TOP + lanes.len() * LANE,
        ticks,
        lanes,
        rows,
    }
}

fn row(bar: &Bar) -> Row {
    Row {
        class: class(bar.activity),
        label: bar.label,
        began: clock(bar.from),
        took: took(bar.from, bar.to),
    }
}

fn class(activity: Activity) -> &'static str {
    match activity {
        Activity::Work => "work",
        Activity::Waiting => "waiting",
        Activity::Change => "change",
        Activity::Check => "check",
    }
}

fn per_cent(value: f64) -> String {
    format!("{value:.2}")
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

fn took(from: Timestamp, to: Timestamp) -> String {
    match to.duration_since(from).as_secs() {
        0 => "under 1s".to_owned(),
        seconds => span(seconds),
    }
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S UTC").to_string()
}
