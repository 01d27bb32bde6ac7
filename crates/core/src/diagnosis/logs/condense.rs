//! A long log, shortened to what may tell: its first lines, every line that may speak of trouble with its neighbours, its last lines.
//! Lines are kept whole and in order; what is left out is left out silently, so the caller must mark the text as cut.
//!
//! Called by the sandbox runner, before anything leaves the pod.

use super::{Level, WORTH, line};

/// First and last lines that are kept whatever they say.
const ENDS: usize = 40;
/// Lines after one that tells: the rest of a stack trace.
const AFTER: usize = 12;

/// At most `cap` bytes of a log.
pub fn condense(text: &str, cap: usize) -> String {
    if text.len() <= cap {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut keep = vec![false; lines.len()];
    let last = lines.len().saturating_sub(ENDS);
    let mut until = 0;
    for (index, (line, kept)) in lines.iter().zip(keep.iter_mut()).enumerate() {
        let tells = WORTH.as_ref().is_some_and(|regex| regex.is_match(line))
            && line::read(without_time(line)).level != Level::Info;
        if tells {
            until = index + AFTER;
        }
        let rest_of_trace = index <= until && until > 0 && without_time(line).starts_with([' ', '\t']);
        *kept = tells || rest_of_trace || index < ENDS || index >= last;
    }
    let mut kept: Vec<&str> = lines
        .iter()
        .zip(&keep)
        .filter(|(_, keep)| **keep)
        .map(|(line, _)| *line)
        .collect();
    // Still too much: what came first and what came last tell more than the middle.
    while kept.iter().map(|line| line.len() + 1).sum::<usize>() > cap && kept.len() > 2 {
        let third = kept.len() / 3;
        kept.drain(third..third + (kept.len() / 3).max(1));
    }
    let text = kept.join("\n");
    if text.len() <= cap {
        return text;
    }
    // Half a line could hold half a secret, which nothing recognises.
    let head = text.get(..text.floor_char_boundary(cap)).unwrap_or_default();
    head.rsplit_once('\n')
        .map_or(String::new(), |(whole, _)| whole.to_owned())
}

/// The time that `kubectl logs --timestamps` puts in front says nothing of a line.
fn without_time(line: &str) -> &str {
    match line.split_once(' ') {
        Some((head, rest)) if head.len() >= 20 && head.as_bytes().get(10) == Some(&b'T') => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::format_collect)]
    use super::*;

    #[test]
    fn a_line_that_tells_is_kept_from_the_middle_of_a_long_log() {
        let quiet: String = (0..5000)
            .map(|n| format!("2026-03-01T12:00:00.000000000Z INFO order {n} saved\n"))
            .collect();
        let text = format!("{quiet}2026-03-01T12:00:00.000000000Z ERROR ledger:5432 connection refused\n{quiet}");
        let short = condense(&text, 20_000);
        assert!(short.len() <= 20_000);
        assert!(short.contains("ERROR ledger:5432 connection refused"));
        assert!(short.starts_with("2026-03-01T12:00:00.000000000Z INFO order 0 saved"));
        assert!(short.ends_with("order 4999 saved"));
    }

    #[test]
    fn a_short_log_is_left_as_it_is_and_any_log_gets_short() {
        assert_eq!(condense("a\nb\n", 100), "a\nb\n");
        let loud: String = (0..5000).map(|n| format!("ERROR number {n} failed\n")).collect();
        assert!(condense(&loud, 9_000).len() <= 9_000);
        assert!(condense(&"é".repeat(9000), 1000).len() <= 1000);
    }
}
