//! A plan as a person must see it before deciding: each action's change, exact command, effect, risk and way back.

use firewatch_core::api::{PlannedAction, Risk};
use firewatch_core::remediation::Action;

use super::style::{Palette, Tone};
use super::text::{clean, clean_lines, cut, shell, wrap};

/// How much of a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// All of it.
    Full,
    /// Commands whole; long differences cut.
    Screen,
    /// Ways back in one line each.
    Short,
    /// Everything but commands in one line each.
    Tight,
}

/// One action, in lines. Commands stand on lines of their own, never broken: a terminal wraps them, and they can be copied.
pub fn action(action: &PlannedAction, detail: Detail, columns: usize, palette: Palette) -> Vec<String> {
    let mut lines = vec![headline(action, palette)];
    // In the catalogue's own words, and in full where they cut a value.
    let meaning = Action::try_from(action).map(|action| action.summary()).ok();
    let exact = change(action).filter(|_| detail == Detail::Full || meaning.is_none());
    for text in [meaning, exact, Some(action.impact.clone())].into_iter().flatten() {
        let mut wrapped = indent(&text, columns);
        if detail == Detail::Tight && wrapped.len() > 1 {
            wrapped = vec![format!("     {}", cut(&clean(&text), columns.saturating_sub(5)))];
        }
        lines.extend(wrapped);
    }
    if let Some(diff) = &action.diff {
        let all = clean_lines(diff);
        let limit = if detail == Detail::Full { usize::MAX } else { 6 };
        for line in all.iter().take(limit) {
            let tone = match line.chars().next() {
                Some('+') => Tone::Good,
                Some('-') => Tone::Bad,
                _ => Tone::Faint,
            };
            let text = if detail == Detail::Full {
                line.clone()
            } else {
                cut(line, columns.saturating_sub(5))
            };
            lines.push(format!("     {}", palette.paint(tone, &text)));
        }
        if all.len() > limit {
            lines.push(format!(
                "     … {} more lines of the difference: --full",
                all.len() - limit
            ));
        }
    }
    lines.push(format!(
        "     {} {}",
        palette.paint(Tone::Faint, "$"),
        shell(&action.command)
    ));
    match (action.rollback.is_empty(), detail) {
        (true, _) => lines.push(palette.paint(Tone::Warn, "     no way back: this action has no inverse")),
        (false, Detail::Short | Detail::Tight) => {
            lines.push("     undo: the exact inverse; --full shows its command".to_owned());
        }
        (false, _) => lines.push(format!("     undo: {}", shell(&action.rollback))),
    }
    lines
}

/// One action that was carried out: what it did. Its commands stand in the report.
pub fn done(action: &PlannedAction, columns: usize, palette: Palette) -> Vec<String> {
    let mut lines = vec![headline(action, palette)];
    if let Ok(meant) = Action::try_from(action) {
        lines.extend(indent(&meant.summary(), columns));
    }
    lines
}

fn headline(action: &PlannedAction, palette: Palette) -> String {
    let target = &action.target;
    let place = target
        .namespace
        .as_deref()
        .map(|ns| format!(" in {ns}"))
        .unwrap_or_default();
    format!(
        "  {} {} {}{}   {}",
        palette.paint(Tone::Strong, &clean(&action.id)),
        palette.paint(Tone::Strong, action.action_type.as_ref()),
        clean(&format!("{}/{}", target.kind, target.name)),
        clean(&place),
        palette.paint(risk_tone(action.risk), &format!("risk {}", action.risk)),
    )
}

/// What changes, from what to what.
fn change(action: &PlannedAction) -> Option<String> {
    let parameters = &action.parameters;
    let value = |value: &Option<String>| {
        value
            .as_ref()
            .map_or_else(|| "(not set)".to_owned(), |text| format!("{text:?}"))
    };
    if parameters.field.is_none() && parameters.from.is_none() && parameters.to.is_none() {
        return None;
    }
    let container = parameters
        .container
        .as_deref()
        .map(|name| format!("container {name}, "))
        .unwrap_or_default();
    let field = parameters
        .field
        .as_deref()
        .map(|field| format!("{field}: "))
        .unwrap_or_default();
    Some(format!(
        "{container}{field}{} → {}",
        value(&parameters.from),
        value(&parameters.to)
    ))
}

fn indent(text: &str, columns: usize) -> Vec<String> {
    wrap(text, columns.saturating_sub(5))
        .into_iter()
        .map(|line| format!("     {line}"))
        .collect()
}

/// How a risk looks.
pub fn risk_tone(risk: Risk) -> Tone {
    match risk {
        Risk::Low => Tone::Good,
        Risk::Medium => Tone::Warn,
        Risk::High => Tone::Bad,
    }
}
