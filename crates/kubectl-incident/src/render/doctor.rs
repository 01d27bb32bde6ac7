//! The screen of `doctor`: one line for each thing, the remedy below what is not well.

use super::style::{Palette, Tone};
use super::text::{clean, wrap};
use crate::doctor::{Judgement, Level};

/// Columns before the text: the level and what it is about.
const HEAD: usize = 24;

/// The judgements for a terminal.
pub fn screen(judgements: &[Judgement], columns: usize, palette: Palette) -> String {
    let mut lines: Vec<String> = Vec::new();
    for one in judgements {
        let (word, tone) = match one.level {
            Level::Well => ("ok", Tone::Good),
            Level::Note => ("note", Tone::Faint),
            Level::Warning => ("warning", Tone::Warn),
            Level::NotRead => ("?", Tone::Warn),
            Level::Fault => ("FAULT", Tone::Bad),
        };
        let mut text = |first: String, body: &str| {
            for (number, line) in wrap(&clean(body), columns.saturating_sub(HEAD)).iter().enumerate() {
                let head = if number == 0 { first.clone() } else { " ".repeat(HEAD) };
                lines.push(format!("{head}{line}"));
            }
        };
        let mark = palette.paint(tone, &format!("{word:<8}"));
        text(format!("{mark}{:<16}", one.about), &one.says);
        if !one.remedy.is_empty() {
            text(" ".repeat(HEAD), &format!("→ {}", one.remedy));
        }
    }
    let count = |level| judgements.iter().filter(|one| one.level == level).count();
    lines.push(String::new());
    lines.push(match (count(Level::Fault), count(Level::NotRead)) {
        (0, 0) => "The installation is healthy.".to_owned(),
        (0, unread) => format!("Nothing is found wrong, but {unread} thing(s) could not be read."),
        (1, _) => "1 fault.".to_owned(),
        (faults, _) => format!("{faults} faults."),
    });
    lines.join("\n") + "\n"
}
