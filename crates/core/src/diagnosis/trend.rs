//! What measurements of memory over time tell: a leak, load that is held in memory, or a limit that is too small for what is needed.
//!
//! - The measurements of a container are cut into its runs, where it was started again.
//! - A run *grows* where it climbs at a rate that does not fade until its end; it is *level* where it settles; what is too short, or
//!   does neither, tells nothing.
//! - A *leak* begins anew after each start at the same rate and climbs while the load is steady, or is in one revision and not in the
//!   one before. Memory that *follows the load* falls when the load falls. What stays level close under the limit *needs* it.
//! - Everything else is growth of which the reason is not shown, or nothing.
//!
//! Pure; must never guess: with few, torn or contradictory measurements it says so. Called by the analyzer `memory`.

use crate::metrics::STEP_SECONDS;
use crate::metrics::answer::{Point, Series};

/// Measurements at the start of a run that are its warm-up.
const WARM_UP: usize = 2;
/// Measurements that a run must have besides.
const FEWEST: usize = 6;
/// Measurements of a run alone that show a leak.
const MANY: usize = 20;
/// Measurements of one run that are compared with each other.
const COMPARED: usize = 60;

/// What the memory of a workload's container does.
#[derive(Clone, Debug, PartialEq)]
pub enum Growth {
    /// It climbs while nothing asks more of it.
    Leak {
        /// Bytes in an hour.
        per_hour: f64,
        /// Runs in which it climbs.
        runs: usize,
        /// With which revision it began.
        began: Began,
        /// Whether it is known that the load does not climb.
        steady: bool,
    },
    /// It rises and falls with the load.
    Load {
        /// How closely, from 0 to 1.
        correlation: f64,
    },
    /// It stays where it is, close under the limit.
    NeedsMore {
        /// Bytes.
        level: f64,
    },
    /// It climbs, and what for is not shown.
    Climbs {
        /// Bytes in an hour.
        per_hour: f64,
        /// Runs in which it climbs.
        runs: usize,
        /// With which revision it began.
        began: Began,
    },
}

/// With which revision growth began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// With the present one: the one before is seen to have been level.
    With {
        /// The present one.
        revision: i64,
        /// The one before.
        before: i64,
    },
    /// Earlier: the one before grew as well.
    Before,
    /// Too little was seen of the one before, or there is none.
    Unknown,
}

/// What is known beside the memory itself.
#[derive(Debug)]
pub struct Beside<'m> {
    /// Restarts, where they are counted.
    pub restarts: &'m [Series],
    /// Requests, or processor time: what asks memory of the program.
    pub load: &'m [Series],
    /// The container's limit, in bytes.
    pub limit: Option<f64>,
}

/// One run of one container.
struct Run<'s> {
    pod: &'s str,
    revision: Option<i64>,
    points: &'s [Point],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Short,
    Level(f64),
    Grows(f64),
    Unclear,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Drive {
    Unknown,
    Steady,
    NotFollowed,
    Followed(f64),
    Both,
}

/// Judges the memory of one container of a workload, over all its pods. `revision_of`: the revision that a pod is of.
pub fn judge(memory: &[Series], beside: &Beside<'_>, revision_of: impl Fn(&str) -> Option<i64>) -> Option<Growth> {
    let mut runs: Vec<(Run<'_>, Shape)> = Vec::new();
    for series in memory {
        let restarts = beside.restarts.iter().find(|one| one.pod == series.pod);
        for points in cut(&series.points, restarts.map(|one| one.points.as_slice()), beside.limit) {
            let run = Run {
                pod: &series.pod,
                revision: revision_of(&series.pod),
                points,
            };
            let shape = shape(points);
            runs.push((run, shape));
        }
    }
    let newest = runs.iter().filter_map(|(run, _)| run.revision).max();
    let of_newest: Vec<&(Run<'_>, Shape)> = runs.iter().filter(|(run, _)| run.revision == newest).collect();
    let judged = of_newest.iter().filter(|(_, shape)| *shape != Shape::Short).count();
    let growing: Vec<(&Run<'_>, f64)> = of_newest
        .iter()
        .filter_map(|(run, shape)| match shape {
            Shape::Grows(rate) => Some((run, *rate)),
            _ => None,
        })
        .collect();
    let drive = drive(&of_newest, beside.load);
    if let Drive::Followed(correlation) = drive {
        return Some(Growth::Load { correlation });
    }
    if growing.is_empty() {
        let levels = of_newest.iter().filter_map(|(_, shape)| match shape {
            Shape::Level(level) => Some(*level),
            _ => None,
        });
        let level = levels.fold(0.0, f64::max);
        let close = beside.limit.is_some_and(|limit| limit > 0.0 && level >= limit * 0.8);
        return close.then_some(Growth::NeedsMore { level });
    }
    // One pod of many that climbs is that pod's.
    if growing.len() * 2 < judged {
        return None;
    }
    let mut rates: Vec<f64> = growing.iter().map(|(_, rate)| *rate).collect();
    let alike = spread(&rates) <= 2.5;
    let per_hour = median(&mut rates) * 3600.0;
    let began = newest.map_or(Began::Unknown, |newest| began_with(&runs, newest));
    let count = growing.len();
    let long = growing.iter().any(|(run, _)| run.points.len() >= MANY);
    let steady = matches!(drive, Drive::Steady | Drive::NotFollowed);
    let repeats = count >= 2 && alike;
    let leaks = match drive {
        Drive::Steady | Drive::NotFollowed => repeats || long,
        // Nothing tells of the load: that it came with a revision, and does so in each run, does.
        Drive::Unknown => matches!(began, Began::With { .. }) && (repeats || long),
        Drive::Both | Drive::Followed(_) => false,
    };
    Some(if leaks {
        Growth::Leak {
            per_hour,
            runs: count,
            began,
            steady,
        }
    } else {
        Growth::Climbs {
            per_hour,
            runs: count,
            began,
        }
    })
}

/// Whether growth began with the newest revision, by what is seen of the one before.
fn began_with(runs: &[(Run<'_>, Shape)], newest: i64) -> Began {
    let earlier = runs
        .iter()
        .filter_map(|(run, _)| run.revision)
        .filter(|revision| *revision < newest);
    let Some(before) = earlier.max() else {
        return Began::Unknown;
    };
    let of_before = || runs.iter().filter(|(run, _)| run.revision == Some(before));
    if of_before().any(|(_, shape)| matches!(shape, Shape::Grows(_))) {
        return Began::Before;
    }
    let level = of_before().any(|(run, shape)| matches!(shape, Shape::Level(_)) && run.points.len() >= FEWEST * 2);
    if level {
        Began::With {
            revision: newest,
            before,
        }
    } else {
        Began::Unknown
    }
}

/// Cuts a container's measurements into its runs. Memory that falls is a new run only where a restart says so, or, where restarts are not
/// counted, where it fell from close to the limit: a program may free what it holds.
fn cut<'s>(points: &'s [Point], restarts: Option<&[Point]>, limit: Option<f64>) -> Vec<&'s [Point]> {
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    let step = STEP_SECONDS as f64;
    let mut runs = Vec::new();
    let mut start = 0;
    for (index, pair) in points.windows(2).enumerate() {
        let [(before, high), (after, low)] = pair else { continue };
        let gap = after - before > step * 5.0;
        let fell = *low < *high * 0.6;
        let restarted = match restarts {
            Some(counts) => rose(counts, before - step * 4.0, after + step * 4.0),
            None => limit.is_some_and(|limit| *high >= limit * 0.7),
        };
        if gap || (fell && restarted) {
            runs.extend(points.get(start..=index));
            start = index + 1;
        }
    }
    runs.extend(points.get(start..).filter(|rest| !rest.is_empty()));
    runs
}

/// Whether a counter rose between two times.
fn rose(counts: &[Point], from: f64, to: f64) -> bool {
    let within = counts
        .iter()
        .filter(|(at, _)| *at >= from && *at <= to)
        .map(|(_, value)| *value);
    let (least, most) = within.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| {
        (a.min(value), b.max(value))
    });
    most > least
}

/// What one run does.
fn shape(points: &[Point]) -> Shape {
    let Some(points) = points.get(WARM_UP..).filter(|rest| rest.len() >= FEWEST) else {
        return Shape::Short;
    };
    let third = points.len() / 3;
    let (Some(first), Some(middle), Some(last)) = (
        points.get(..third).map(level_of),
        points.get(third..points.len() - third).map(level_of),
        points.get(points.len() - third..).map(level_of),
    ) else {
        return Shape::Short;
    };
    let level = level_of(points);
    if level <= 0.0 {
        return Shape::Unclear;
    }
    let rate = rate(points);
    let span = points.last().map_or(0.0, |(at, _)| *at) - points.first().map_or(0.0, |(at, _)| *at);
    let rise = rate * span;
    let noise = noise(points, rate);
    let (early, late) = (middle - first, last - middle);
    let fades = late < early * 0.4;
    if rise >= level * 0.15 && rise >= noise * 4.0 && early > 0.0 && late > 0.0 && !fades {
        return Shape::Grows(rate);
    }
    // A cache that fills and then stays is level, too.
    let settled = late.abs() <= level * 0.05 && late.abs() <= early.abs().max(level * 0.05);
    if settled && noise <= level * 0.15 {
        return Shape::Level(last);
    }
    Shape::Unclear
}

/// The median of the rates between all pairs (Theil–Sen): single wild measurements do not move it.
fn rate(points: &[Point]) -> f64 {
    let every = points.len().div_ceil(COMPARED).max(1);
    let some: Vec<&Point> = points.iter().step_by(every).collect();
    let mut rates = Vec::new();
    for (index, (at, value)) in some.iter().enumerate() {
        for (later, then) in some.iter().skip(index + 1) {
            if later > at {
                rates.push((then - value) / (later - at));
            }
        }
    }
    median(&mut rates)
}

/// How far measurements lie from the line, at the median.
fn noise(points: &[Point], rate: f64) -> f64 {
    let mut offsets: Vec<f64> = points.iter().map(|(at, value)| value - rate * at).collect();
    let middle = median(&mut offsets);
    let mut apart: Vec<f64> = offsets.iter().map(|offset| (offset - middle).abs()).collect();
    median(&mut apart)
}

fn level_of(points: &[Point]) -> f64 {
    median(&mut points.iter().map(|(_, value)| *value).collect::<Vec<f64>>())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The largest beside the smallest.
fn spread(rates: &[f64]) -> f64 {
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rates.iter().copied().fold(0.0, f64::max);
    if least > 0.0 { most / least } else { f64::INFINITY }
}

/// What the load has to do with it.
fn drive(runs: &[&(Run<'_>, Shape)], load: &[Series]) -> Drive {
    let mut found = Drive::Unknown;
    for (run, shape) in runs {
        if *shape == Shape::Short {
            continue;
        }
        let Some(load) = load.iter().find(|one| one.pod == run.pod) else {
            continue;
        };
        let pairs = together(run.points.get(WARM_UP..).unwrap_or_default(), &load.points);
        if pairs.len() < FEWEST {
            continue;
        }
        match of_run(&pairs) {
            // Memory that fell with the load settles it, in whichever run.
            Drive::Followed(correlation) => return Drive::Followed(correlation),
            Drive::Both => found = Drive::Both,
            other if found != Drive::Both => found = other,
            _ => {}
        }
    }
    found
}

/// Load and memory at the same times.
fn together(memory: &[Point], load: &[Point]) -> Vec<(f64, f64)> {
    let mut rest = load.iter().peekable();
    let mut pairs = Vec::new();
    for (at, value) in memory {
        while rest.next_if(|(then, _)| *then < at - 1.0).is_some() {}
        if let Some((_, asked)) = rest.peek().filter(|(then, _)| *then <= at + 1.0) {
            pairs.push((*asked, *value));
        }
    }
    pairs
}

fn of_run(pairs: &[(f64, f64)]) -> Drive {
    let mut sorted: Vec<f64> = pairs.iter().map(|(load, _)| *load).collect();
    sorted.sort_by(f64::total_cmp);
    let part = |tenths: usize| sorted.get(sorted.len() * tenths / 10).copied().unwrap_or(0.0);
    let (low, middle, high) = (part(1), part(5), part(9));
    if high - low <= middle.abs() * 0.3 {
        return Drive::Steady;
    }
    let correlation = correlation(pairs);
    // What a fall of the load did to the memory: medians of three, so that one measurement decides nothing.
    let smooth: Vec<(f64, f64)> = pairs
        .windows(3)
        .map(|three| {
            let middle = |of: fn(&(f64, f64)) -> f64| median(&mut three.iter().map(of).collect::<Vec<f64>>());
            (middle(|pair| pair.0), middle(|pair| pair.1))
        })
        .collect();
    let peak = smooth.iter().enumerate().max_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let after = peak.and_then(|(at, peak)| {
        let calm = smooth.iter().skip(at).min_by(|a, b| a.0.total_cmp(&b.0))?;
        (calm.0 <= peak.0 * 0.7).then_some((peak.1, calm.1))
    });
    match after {
        Some((then, now)) if now <= then * 0.9 && correlation >= 0.8 => Drive::Followed(correlation),
        Some((then, now)) if now >= then * 0.97 => Drive::NotFollowed,
        None if correlation < 0.3 => Drive::NotFollowed,
        _ => Drive::Both,
    }
}

/// Pearson's.
fn correlation(pairs: &[(f64, f64)]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a hundred pairs")]
    let count = pairs.len() as f64;
    let sum = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    let (x, y) = (sum(|pair| pair.0) / count, sum(|pair| pair.1) / count);
    let moments = pairs.iter().fold((0.0, 0.0, 0.0), |(xy, xx, yy), (a, b)| {
        (xy + (a - x) * (b - y), xx + (a - x) * (a - x), yy + (b - y) * (b - y))
    });
    let (xy, xx, yy) = moments;
    if xx > 0.0 && yy > 0.0 {
        xy / (xx * yy).sqrt()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const MIB: f64 = 1_048_576.0;
    const LIMIT: f64 = 512.0 * MIB;

    /// Noise of at most so many parts in a thousand, the same in every run of the test.
    fn shaken(value: f64, at: u32, thousandths: f64) -> f64 {
        let step = f64::from(at.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 - 0.5;
        value * (1.0 + 2.0 * step * thousandths / 1000.0)
    }

    fn series(pod: &str, value: impl Fn(u32) -> Option<f64>) -> Series {
        Series {
            pod: pod.to_owned(),
            container: "app".to_owned(),
            points: (0..121_u32)
                .filter_map(|n| Some((f64::from(n) * 30.0, value(n)?)))
                .collect(),
        }
    }

    fn steady(pod: &str) -> Vec<Series> {
        vec![series(pod, |n| Some(shaken(50.0, n, 80.0)))]
    }

    /// Starts at 60 MiB, climbs by 11 MiB in each step, is killed at the limit after 40.
    fn sawtooth(n: u32) -> f64 {
        shaken((60.0 + 11.0 * f64::from(n % 40)) * MIB, n, 15.0)
    }

    fn restarts(pod: &str) -> Vec<Series> {
        vec![series(pod, |n| Some(f64::from(n / 40)))]
    }

    fn judged(memory: &[Series], restarts: &[Series], load: &[Series]) -> Option<Growth> {
        let beside = Beside {
            restarts,
            load,
            limit: Some(LIMIT),
        };
        judge(memory, &beside, |pod| {
            pod.split('-').nth(1)?.strip_prefix('r')?.parse().ok()
        })
    }

    #[test]
    fn the_same_climb_after_each_restart_under_steady_load_is_a_leak() {
        let memory = [series("web-r3-a", |n| Some(sawtooth(n)))];
        let found = judged(&memory, &restarts("web-r3-a"), &steady("web-r3-a"));
        let Some(Growth::Leak {
            per_hour,
            runs,
            began,
            steady,
        }) = found
        else {
            panic!("no leak: {found:?}");
        };
        assert_eq!((runs, began, steady), (3, Began::Unknown, true));
        let mib = per_hour / MIB;
        assert!((1200.0..1450.0).contains(&mib), "{mib}");
    }

    #[test]
    fn a_climb_that_began_with_a_revision_is_a_leak_of_that_revision_even_where_nothing_tells_of_the_load() {
        let before = series("web-r3-a", |n| (n < 60).then(|| shaken(90.0 * MIB, n, 20.0)));
        let after = series("web-r4-b", |n| {
            (n >= 60).then(|| shaken((60.0 + 7.0 * f64::from(n - 60)) * MIB, n, 15.0))
        });
        let found = judged(&[before, after.clone()], &[], &[]);
        let Some(Growth::Leak { began, steady, .. }) = found else {
            panic!("no leak: {found:?}");
        };
        let with = Began::With { revision: 4, before: 3 };
        assert_eq!((began, steady), (with, false));
        // Where the revision before climbed as well, it did not begin there; and nothing tells leak from load.
        let same = series("web-r3-a", |n| {
            (n < 60).then(|| shaken((60.0 + 7.0 * f64::from(n)) * MIB, n, 15.0))
        });
        let found = judged(&[same, after.clone()], &[], &[]);
        assert!(
            matches!(
                found,
                Some(Growth::Climbs {
                    began: Began::Before,
                    ..
                })
            ),
            "{found:?}"
        );
        // What was seen of the revision before is too little.
        let glimpse = series("web-r3-a", |n| (n < 9).then_some(90.0 * MIB));
        let found = judged(&[glimpse, after], &[], &[]);
        assert!(
            matches!(
                found,
                Some(Growth::Climbs {
                    began: Began::Unknown,
                    ..
                })
            ),
            "{found:?}"
        );
    }

    #[test]
    fn memory_that_falls_with_the_load_follows_it() {
        let load = |n: u32| 40.0 + 35.0 * (f64::from(n) / 18.0).sin();
        let memory = [series("web-r1-a", |n| {
            Some(shaken((120.0 + 3.0 * load(n)) * MIB, n, 10.0))
        })];
        let asked = [series("web-r1-a", |n| Some(shaken(load(n), n + 7, 30.0)))];
        assert!(matches!(judged(&memory, &[], &asked), Some(Growth::Load { correlation }) if correlation > 0.9));
        // A leak beside the same load does not fall with it.
        let leak = [series("web-r1-a", |n| Some((100.0 + 3.0 * f64::from(n)) * MIB))];
        assert!(matches!(judged(&leak, &[], &asked), Some(Growth::Leak { .. })));
    }

    #[test]
    fn load_that_only_rises_with_the_memory_tells_nothing() {
        let memory = [series("web-r1-a", |n| Some((100.0 + 3.0 * f64::from(n)) * MIB))];
        let asked = [series("web-r1-a", |n| Some(20.0 + f64::from(n)))];
        assert!(matches!(
            judged(&memory, &[], &asked),
            Some(Growth::Climbs { runs: 1, .. })
        ));
    }

    #[test]
    fn level_close_under_the_limit_needs_more_and_far_below_tells_nothing() {
        let at = |mib: f64| [series("web-r1-a", move |n| Some(shaken(mib * MIB, n, 10.0)))];
        assert!(matches!(judged(&at(470.0), &[], &[]), Some(Growth::NeedsMore { level }) if level > 460.0 * MIB));
        assert_eq!(judged(&at(200.0), &[], &[]), None);
    }

    #[test]
    fn a_cache_that_fills_and_stays_is_no_leak() {
        let memory = [series("web-r1-a", |n| {
            Some((300.0 - 220.0 * (-f64::from(n) / 15.0).exp()) * MIB)
        })];
        assert_eq!(judged(&memory, &[], &steady("web-r1-a")), None);
    }

    #[test]
    fn a_program_that_frees_what_it_holds_was_not_started_again() {
        // Collected every 20 minutes, from 260 MiB down to 60: no restart is counted, or it was far from its limit.
        let memory = [series("web-r1-a", |n| {
            Some(shaken((60.0 + 5.0 * f64::from(n % 40)) * MIB, n, 10.0))
        })];
        let counted = [series("web-r1-a", |_| Some(2.0))];
        for restarts in [&counted[..], &[]] {
            let found = judged(&memory, restarts, &steady("web-r1-a"));
            assert!(!matches!(found, Some(Growth::Leak { .. })), "{found:?}");
        }
    }

    #[test]
    fn one_pod_of_many_that_climbs_is_no_leak_of_the_program() {
        let mut memory: Vec<Series> = ["a", "b", "c", "d"]
            .map(|pod| series(&format!("web-r1-{pod}"), |n| Some(shaken(90.0 * MIB, n, 20.0))))
            .to_vec();
        memory.push(series("web-r1-e", |n| Some((60.0 + 3.0 * f64::from(n)) * MIB)));
        assert_eq!(judged(&memory, &[], &steady("web-r1-e")), None);
    }

    #[test]
    fn gaps_and_wild_measurements_do_not_make_or_hide_a_leak() {
        // A tenth is missing, a twentieth is wild.
        let torn = series("web-r1-a", |n| match n {
            n if n % 10 == 3 => None,
            n if n % 20 == 7 => Some(500.0 * MIB),
            n => Some(shaken((60.0 + 3.0 * f64::from(n)) * MIB, n, 10.0)),
        });
        let found = judged(&[torn], &[], &steady("web-r1-a"));
        assert!(matches!(found, Some(Growth::Leak { .. })), "{found:?}");
        // Noise without a trend, however loud.
        let noise = series("web-r1-a", |n| Some(shaken(200.0 * MIB, n, 400.0)));
        assert_eq!(judged(&[noise], &[], &steady("web-r1-a")), None);
    }

    #[test]
    fn few_measurements_tell_nothing() {
        for count in 0..8 {
            let few = series("web-r1-a", |n| (n < count).then(|| (60.0 + 50.0 * f64::from(n)) * MIB));
            assert_eq!(judged(&[few], &[], &steady("web-r1-a")), None, "{count}");
        }
        assert_eq!(judged(&[], &[], &[]), None);
        let nothing = series("web-r1-a", |_| Some(0.0));
        assert_eq!(judged(&[nothing], &[], &[]), None);
    }
}
