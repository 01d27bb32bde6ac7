//! Flapping: a group of alerts that resolves and fires again, and again. Looking into each firing tells nothing new and ends before
//! anybody reads it; so after some of them the next incident stays open, collects what comes as occurrences, and says so.
//!
//! All that is known stands in the incident's own `status.alerts.refired`, which the next incident of the group takes over: a restart
//! forgets nothing. Pure. Called by `merge` (counts), `gate` (holds) and `incident::conditions` (says).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::status::AlertsStatus;
use crate::incident::transition::whole_second;

/// So many times within `WINDOW` a group had wholly resolved and fired again: it flaps.
pub const REFIRES: usize = 3;
/// See `REFIRES`. So long after the first of the last ones it counts as quiet again.
pub const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// When the group fired again, this time included where it is one: its alerts had all resolved, and some fire that were not seen before.
/// Only the last few are kept: more are not asked for.
pub fn refired(before: Option<&AlertsStatus>, fires_anew: bool, now: Timestamp) -> Vec<Time> {
    let Some(before) = before else { return Vec::new() };
    let mut times = before.refired.clone();
    if fires_anew && before.resolved_at.is_some() {
        times.push(whole_second(now));
    }
    let too_many = times.len().saturating_sub(REFIRES);
    times.split_off(too_many)
}

/// Until when a group counts as flapping, if it does now.
pub fn until(alerts: &AlertsStatus, now: Timestamp) -> Option<Timestamp> {
    let first = alerts.refired.len().checked_sub(REFIRES)?;
    let until = alerts.refired.get(first)?.0.saturating_add(WINDOW).ok()?;
    (until > now).then_some(until)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)]
    use super::*;

    fn at(minute: i64) -> Timestamp {
        let noon: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        noon.saturating_add(SignedDuration::from_mins(minute)).unwrap()
    }

    fn alerts(refired: &[i64], resolved: bool) -> AlertsStatus {
        AlertsStatus {
            acknowledged_at: None,
            firing: 0,
            resolved_at: resolved.then(|| Time(at(0))),
            last_received_at: Time(at(0)),
            seen: Vec::new(),
            refired: refired.iter().map(|minute| Time(at(*minute))).collect(),
        }
    }

    #[test]
    fn three_refires_within_an_hour_are_flapping_until_the_first_of_them_is_an_hour_old() {
        #[rustfmt::skip]
        let table: &[(&str, &[i64], i64, Option<i64>)] = &[
            ("never", &[], 0, None),
            ("twice", &[0, 1], 2, None),
            ("three times at once", &[0, 0, 0], 0, Some(60)),
            ("three times in an hour", &[0, 29, 59], 59, Some(60)),
            ("the hour is over", &[0, 29, 59], 60, None),
            ("three times, too slow", &[0, 30, 61], 61, None),
            ("it goes on", &[30, 50, 70], 70, Some(90)),
            ("clocks that differ", &[5, 3, 4], 0, Some(65)),
        ];
        for (what, refired, now, wanted) in table {
            assert_eq!(until(&alerts(refired, false), at(*now)), wanted.map(at), "{what}");
        }
    }

    #[test]
    fn only_what_had_wholly_resolved_refires_and_only_the_last_times_are_kept() {
        let minutes = |before: Option<&AlertsStatus>, anew: bool| -> Vec<Timestamp> {
            refired(before, anew, at(9)).into_iter().map(|time| time.0).collect()
        };
        assert!(minutes(None, true).is_empty(), "its first firing is none");
        assert!(
            minutes(Some(&alerts(&[], false)), true).is_empty(),
            "others of the group fire still"
        );
        assert!(minutes(Some(&alerts(&[], true)), false).is_empty(), "an echo");
        assert_eq!(minutes(Some(&alerts(&[], true)), true), [at(9)]);
        assert_eq!(minutes(Some(&alerts(&[1, 2, 3], true)), true), [at(2), at(3), at(9)]);
    }
}
