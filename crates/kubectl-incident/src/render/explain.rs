//! The screen of `explain`: why this cause, what its confidence is made of, why not the alternatives, and what would tell.

use firewatch_core::report::explain::Explanation;

use super::page::Page;
use super::style::{Palette, Tone};
use super::text::{clean, short};

/// Lines of one text.
const MOST: usize = 6;

/// The explanation for a terminal.
pub fn screen(told: &Explanation, columns: usize, palette: Palette) -> String {
    let mut page = Page::new(columns, palette);
    if let Some(cause) = &told.cause {
        page.text(MOST, "Cause", &cause.summary);
        page.raw(
            "",
            &palette.paint(
                Tone::Faint,
                &clean(&format!(
                    "{} at {}, confidence {}",
                    cause.category, cause.object, cause.confidence
                )),
            ),
        );
    } else {
        page.text(MOST, "Cause", "none is shown");
    }
    for (number, step) in told.chain.iter().enumerate() {
        let label = if number == 0 { "Why" } else { "" };
        page.text(
            MOST,
            label,
            &format!(
                "{}. {}{}{}",
                number + 1,
                step.text,
                cited(&step.evidence),
                step.change
                    .as_ref()
                    .map(|change| format!(", {change}"))
                    .unwrap_or_default()
            ),
        );
    }
    for (number, part) in told.confidence.iter().enumerate() {
        let label = if number == 0 { "Certain" } else { "" };
        let text = format!("{} {}", part.sign, part.text);
        // What raised it is a command, which may be long; what lowered it is a sentence.
        if part.sign == '+' {
            page.text(2, label, &short(&text, 400));
        } else {
            page.text(MOST, label, &text);
        }
    }
    if let Some(proof) = &told.proof {
        page.text(MOST, "Proof", proof);
    }
    if told.cause.is_some() && told.alternatives.is_empty() {
        page.text(
            MOST,
            "Why not",
            "no other finding competes with it; what else was seen is below",
        );
    }
    for (number, other) in told.alternatives.iter().enumerate() {
        let label = if number == 0 { "Why not" } else { "" };
        page.text(MOST, label, &format!("{}{}", other.text, cited(&other.evidence)));
        if !other.against.is_empty() {
            page.text(MOST, "", &format!("  against it: {}", other.against));
        }
        page.text(MOST, "", &format!("  would tell: {}", other.would_tell));
    }
    for (label, list) in [
        ("Also seen", &told.also_seen),
        ("Not read", &told.not_read),
        ("Next", &told.next_steps),
    ] {
        for (number, text) in list.iter().enumerate() {
            page.text(MOST, if number == 0 { label } else { "" }, text);
        }
    }
    page.lines.join("\n") + "\n"
}

fn cited(evidence: &[String]) -> String {
    if evidence.is_empty() {
        String::new()
    } else {
        format!(" [{}]", evidence.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use firewatch_core::report::explain::explain;
    use firewatch_core::report::{StoryView, document};

    use super::*;
    use crate::render::fixture;

    #[test]
    fn the_screen_has_the_chain_the_parts_and_the_alternatives() {
        let mut incident = fixture::incident();
        if let Some(cause) = incident.status.as_mut().and_then(|status| status.root_cause.as_mut()) {
            cause.alternatives = vec!["a\u{1b}[2Jquota is full (E2): less evidence supports it".to_owned()];
        }
        let told = explain(&document(&incident, &StoryView::default()));
        let text = screen(&told, 100, Palette::plain());
        for part in [
            "Cause     checkout ends at start",
            "Why       1. no pod of checkout is ready",
            "Certain   + E1 shows it",
            "1 of the questions were not wholly answered",
            "against it: less evidence supports it",
            "would tell: a second, independent sign",
            "Not read  E4 kubectl logs",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
        assert!(
            text.lines().all(|line| super::super::text::width(line) <= 100),
            "{text}"
        );
    }
}
