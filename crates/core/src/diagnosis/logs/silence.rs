//! Work that a log tells of at a steady pace, and that has stopped: the pace, the end, the last words; and counts of waiting work that
//! grow. Must never judge. Called by the `stopped` analyzer and by `questions`.

use std::sync::LazyLock;

use k8s_openapi::jiff::Timestamp;
use regex::Regex;

use super::templates;
use super::{Level, is_retry};
use crate::diagnosis::case_file::LogRecord;

/// Repetitions that make a pace.
const LEAST: usize = 10;
/// Silence shorter than this is a pause.
const PAUSE_MILLIS: i128 = 20_000;
/// A pace slower than this tells nothing within a look.
const SLOWEST_MILLIS: i128 = 60_000;
/// Faster than this is a burst, as at a start.
const FASTEST_MILLIS: i128 = 150;

/// A steady line that came no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The line, as it was last.
    pub sample: String,
    /// How often it had come.
    pub count: usize,
    /// Its distance before.
    pub pace_millis: i128,
    /// When it came last.
    pub last: Timestamp,
}

/// Served requests end when nobody asks; waiting, loading and connecting end well.
static NO_WORK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\b(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)\b|HTTP/|(?i)\b(?:request|wait|connect|load|start|init|migrat|import|warm|restor|replay|sync|health|ready|probe)").ok()
});
static WAITING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b((?:queue|backlog|pending|queued|waiting|unprocessed|consumer)?[_ ]?(?:depth|backlog|lag|length|size|pending|queued|waiting|unprocessed|queue))["']?\s*[:=]\s*["']?(\d{1,12})\b"#).ok()
});

/// The steady line of a log that has stopped, if most of the log is that line.
pub fn stopped(log: &LogRecord) -> Option<Stop> {
    // Most logs are too short or go on: those need no second look.
    let last = log.lines.last()?.at?;
    if log.lines.len() < LEAST || log.read_at.duration_since(last).as_millis() < PAUSE_MILLIS {
        return None;
    }
    let templates = templates::of(log);
    let all: usize = templates.iter().map(|template| template.count).sum();
    let template = templates.iter().max_by_key(|template| template.count)?;
    let quiet_words = NO_WORK.as_ref().is_none_or(|regex| regex.is_match(&template.sample));
    if template.count < LEAST
        || template.count * 2 < all
        || template.level > Level::Unmarked
        || quiet_words
        || is_retry(&template.sample)
    {
        return None;
    }
    let (first, last) = (template.first?, template.last?);
    let gaps = i128::try_from(template.count.saturating_sub(1)).ok()?.max(1);
    let pace = last.duration_since(first).as_millis() / gaps;
    let mut longest = 0;
    let mut before = first;
    for at in log
        .lines
        .get(template.first_line..=template.last_line)?
        .iter()
        .filter_map(|line| line.at)
    {
        longest = longest.max(at.duration_since(before).as_millis());
        before = at;
    }
    let quiet = log.read_at.duration_since(last).as_millis();
    let steady = (FASTEST_MILLIS..=SLOWEST_MILLIS).contains(&pace) && longest <= pace * 5 + 1000;
    (steady && quiet >= PAUSE_MILLIS && quiet >= longest * 10).then(|| Stop {
        sample: template.sample.clone(),
        count: template.count,
        pace_millis: pace,
        last,
    })
}

/// What a log counts as waiting, where its last counts only grow: its name, the first of them, the last.
pub fn growing(log: &LogRecord) -> Option<(String, u64, u64)> {
    let regex = WAITING.as_ref()?;
    let counts: Vec<(String, u64)> = log
        .lines
        .iter()
        .filter(|line| line.text.len() <= 4096)
        .filter_map(|line| {
            let captures = regex.captures(&line.text)?;
            Some((
                captures.get(1)?.as_str().to_owned(),
                captures.get(2)?.as_str().parse().ok()?,
            ))
        })
        .collect();
    let (name, last) = counts.last()?.clone();
    let of: Vec<u64> = counts
        .iter()
        .filter(|(other, _)| *other == name)
        .map(|(_, count)| *count)
        .collect();
    let tail = of.get(of.len().saturating_sub(3)..)?;
    let first = *tail.first()?;
    (tail.len() == 3 && tail.is_sorted() && last > first).then_some((name, first, last))
}
