//! The screen of `doctor`: one line for each thing, the remedy below what is not well.

use super::style::{Palette, Tone};
use super::text::{clean, wrap};
use crate::doctor::{Judgement, Level};

/// The judgements for a terminal.
pub fn screen(judgements: &[Judgement], columns: usize, palette: Palette) -> String {
    let mut out = String::new();
    for one in judgements {
        let (word, tone) = match one.level {
            Level::Well => ("ok", Tone::Good),
            Level::Note => ("note", Tone::Faint),
            Level::Warning => ("warning", Tone::Warn),
            Level::NotRead => ("?", Tone::Warn),
            Level::Fault => ("FAULT", Tone::Bad),
        };
        let mut text = |first: &str, body: &str| {
            for (number, line) in wrap(&clean(body), columns.saturating_sub(24)).iter().enumerate() {
                let head = if number == 0 { first.to_owned() } else { " ".repeat(24) };
                out.push_str(&format!("{head}{line}\n"));
            }
        };
        let mark = palette.paint(tone, &format!("{word:<8}"));
        text(&format!("{mark}{:<16}", one.about), &one.says);
        if !one.remedy.is_empty() {
            text(&format!("{:24}", ""), &format!("→ {}", one.remedy));
        }
    }
    let faults = judgements.iter().filter(|one| one.level == Level::Fault).count();
    let unread = judgements.iter().filter(|one| one.level == Level::NotRead).count();
    out.push('\n');
    out.push_str(&match (faults, unread) {
        (0, 0) => "The installation is healthy.\n".to_owned(),
        (0, unread) => format!("Nothing is found wrong, but {unread} thing(s) could not be read.\n"),
        (1, _) => "1 fault.\n".to_owned(),
        (faults, _) => format!("{faults} faults.\n"),
    });
    out
}
