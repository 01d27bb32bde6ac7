//! Lines that differ only in values, as one template: what a log says again and again, how often, since when.
//!
//! A fixed-depth tree as in Drain (He et al., 2017): by number of words, then by the first words that hold no digit, then the most
//! similar group, whose differing words become `<*>`. Bounded in groups. Must never judge. Called by the `novelty` analyzer.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::jiff::Timestamp;
use regex::Regex;

use super::line::{self, Level};
use crate::diagnosis::case_file::LogRecord;
use crate::text::clip;

/// Two lines of one template share at least this part of their words.
const SIMILAR: (usize, usize) = (1, 2);
/// More templates than this are not kept: a log that says something new with each line tells nothing by repetition.
const MAX_TEMPLATES: usize = 2_000;
/// Templates of one beginning that a line is compared with, the latest first.
const MAX_NEAR: usize = 64;
/// Words of a line that count.
const MAX_WORDS: usize = 40;

/// What a value of a log stands for.
const BLANK: &str = "<*>";

/// One template, and the lines that have its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    words: Vec<String>,
    /// How the first line marked itself.
    pub level: Level,
    /// How many lines.
    pub count: usize,
    /// Position of the first line in the log.
    pub first_line: usize,
    /// Position of the last.
    pub last_line: usize,
    /// Time of the first, where the log has times.
    pub first: Option<Timestamp>,
    /// Time of the last.
    pub last: Option<Timestamp>,
    /// The last line itself, shortened.
    pub sample: String,
    /// How many lines are word for word the last sample: the same message for the same thing, again and again.
    pub same: usize,
}

impl Template {
    /// Its form: `order <*> failed after <*> ms`.
    pub fn form(&self) -> String {
        self.words.join(" ")
    }

    /// Whether a template of another log has this form.
    pub fn is_form_of(&self, other: &Template) -> bool {
        self.words.len() == other.words.len() && similar(&self.words, &other.words)
    }
}

/// Times, ids, addresses, paths and numbers: values, whatever stands around them.
static VALUES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?x)
        \d{4}-\d\d-\d\d[T\s]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?
        | \b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b
        | \b0x[0-9a-fA-F]+\b
        | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b
        | "[^"]{0,200}" | '[^']{0,200}'
        | \b[0-9a-f]{12,}\b
        | [+-]?\d+(?:[.,:]\d+)*(?:ms|s|us|µs|ns|m|h|%|[KMG]i?B?|B)?
        "#,
    )
    .ok()
});

fn split(text: &str) -> Vec<String> {
    let masked = VALUES
        .as_ref()
        .map_or_else(|| text.into(), |regex| regex.replace_all(text, BLANK));
    masked
        .split_whitespace()
        .take(MAX_WORDS)
        .map(ToOwned::to_owned)
        .collect()
}

fn similar(a: &[String], b: &[String]) -> bool {
    let same = a.iter().zip(b).filter(|(a, b)| a == b && *a != BLANK).count();
    let fixed = a.iter().filter(|word| *word != BLANK).count().max(1);
    same * SIMILAR.1 >= fixed * SIMILAR.0
}

/// The templates of a log, in the order of their first lines. Indented lines belong to the line before and are none of their own.
pub fn of(log: &LogRecord) -> Vec<Template> {
    let mut tree: BTreeMap<(usize, String, String), Vec<usize>> = BTreeMap::new();
    let mut found: Vec<Template> = Vec::new();
    for (index, line) in log.lines.iter().enumerate() {
        if line.text.trim().is_empty() || line.text.starts_with([' ', '\t']) || is_part_of_trace(&line.text) {
            continue;
        }
        let read = line::read(&line.text);
        let words = split(&read.text);
        let fixed = |at: usize| {
            words
                .get(at)
                .filter(|word| !word.contains(BLANK))
                .cloned()
                .unwrap_or_default()
        };
        let leaf = tree.entry((words.len(), fixed(0), fixed(1))).or_default();
        let known = leaf.iter().rev().take(MAX_NEAR).copied().find(|at| {
            found
                .get(*at)
                .is_some_and(|template| template.level == read.level && similar(&template.words, &words))
        });
        let sample = clip(read.text.trim(), 240);
        if let Some(template) = known.and_then(|at| found.get_mut(at)) {
            for (word, other) in template.words.iter_mut().zip(&words) {
                if word != other {
                    BLANK.clone_into(word);
                }
            }
            template.count += 1;
            template.last_line = index;
            template.last = line.at.or(template.last);
            if template.sample == sample {
                template.same += 1;
            } else {
                template.same = 1;
                template.sample = sample;
            }
        } else if found.len() < MAX_TEMPLATES {
            leaf.push(found.len());
            found.push(Template {
                words,
                level: read.level,
                count: 1,
                first_line: index,
                last_line: index,
                first: line.at,
                last: line.at,
                sample,
                same: 1,
            });
        }
    }
    found
}

/// Lines of a stack trace that are not indented.
fn is_part_of_trace(text: &str) -> bool {
    text.starts_with("Traceback (") || text.starts_with("goroutine ") || text.starts_with("During handling of")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::format_collect)]
    use super::*;
    use crate::diagnosis::logs::tests::log;

    #[test]
    fn lines_that_differ_in_values_are_one_template() {
        let found = of(&log(
            "order 17 saved in 3ms for \"Ada\"\norder 18 saved in 12ms for \"Bo\"\ncache warm\norder 19 saved in 1ms for \"C D\"\n",
        ));
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].count, 3);
        assert_eq!(found[0].form(), "order <*> saved in <*> for <*>");
    }

    #[test]
    fn lines_of_other_words_or_levels_are_others() {
        let found = of(&log(
            "INFO order 17 saved\nERROR order 17 saved\nINFO queue drained quickly\n",
        ));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn the_same_thing_again_and_again_is_counted() {
        let found = of(&log(
            "ERROR offset 7 cannot be read\nERROR offset 9 cannot be read\nERROR offset 9 cannot be read\n",
        ));
        assert_eq!((found[0].count, found[0].same), (3, 2));
    }

    #[test]
    fn a_log_that_never_repeats_stays_bounded() {
        let text: String = (0..5000)
            .map(|n| format!("{} {}\n", "w".repeat(n % 71 + 1), "x".repeat(n % 67 + 1)))
            .collect();
        assert!(of(&log(&text)).len() <= MAX_TEMPLATES);
    }
}
