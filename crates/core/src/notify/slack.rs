//! A notice as a Slack message: blocks, and a text for where blocks are not shown.
//!
//! Text of a cluster stands in `plain_text`, in which Slack makes neither links nor mentions nor formatting, or, for commands, in a code
//! fence that it cannot leave. It is escaped in both, and a mention of everybody is broken apart. There is no button: nothing in Slack
//! approves. Called by the sender.

use serde_json::{Value, json};

use super::notice::{Notice, Occasion};
use super::words;
use crate::text::clip;

/// Slack's own limits, with room for what escaping adds.
const HEADER: usize = 140;
const SECTION: usize = 2900;
const TEXT: usize = 3000;
const MAX_BLOCKS: usize = 45;
/// Steps and checks that are shown; the rest is counted.
const MAX_SHOWN: usize = 10;

/// As Slack wants it: the three characters that mean something to it, and mentions of everybody.
pub fn escape(text: &str) -> String {
    let mut escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for word in ["channel", "here", "everyone"] {
        // A zero-width space: it reads the same, and is no mention.
        escaped = escaped.replace(&format!("@{word}"), &format!("@\u{200b}{word}"));
    }
    escaped
}

/// The escaped text, cut so that it fits once escaped and no entity is cut in half.
fn fitting(text: &str, most: usize) -> String {
    let whole = escape(text);
    if whole.chars().count() <= most {
        return whole;
    }
    let mut kept = String::new();
    let mut length = 0_usize;
    for c in text.chars() {
        let one = match c {
            '&' => 5,
            '<' | '>' => 4,
            // Room for the zero-width space.
            '@' => 2,
            _ => 1,
        };
        if length.saturating_add(one) >= most {
            break;
        }
        length = length.saturating_add(one);
        kept.push(c);
    }
    format!("{}…", escape(&kept))
}

fn plain(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "plain_text", "text": fitting(text, SECTION), "emoji": false } })
}

/// A fence that its content cannot leave: backticks in a row are parted.
fn code(title: &str, text: &str) -> Value {
    let parted = text.replace("``", "`\u{200b}`");
    let text = fitting(&parted, SECTION.saturating_sub(100));
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": format!("{title}\n```\n{text}\n```"), "verbatim": true } })
}

fn header(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": fitting(text, HEADER), "emoji": false } })
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [{ "type": "plain_text", "text": fitting(text, SECTION), "emoji": false }] })
}

/// The whole message of a notice: for an incoming webhook, and for a thread.
pub fn message(notice: &Notice) -> Value {
    let mut blocks = vec![header(&words::headline(notice)), plain(&words::place(notice))];
    blocks.extend(words::happened(notice).map(|text| plain(&text)));
    blocks.extend(words::cause(notice).map(|text| plain(&format!("Cause: {text}"))));
    blocks.extend(words::plan(notice).map(|text| plain(&format!("Plan: {text}"))));
    if notice.occasion == Occasion::ApprovalNeeded {
        blocks.extend(steps(notice));
        blocks.extend(approve(notice));
    }
    blocks.extend(notice.execution.iter().map(|text| plain(&format!("Done: {text}"))));
    let checks = words::checks(notice);
    if !checks.is_empty() {
        blocks.push(plain(&format!("Verification:\n{}", shown(&checks))));
    }
    if !notice.next_steps.is_empty() {
        blocks.push(plain(&format!("Next:\n{}", shown(&notice.next_steps))));
    }
    blocks.push(context(&format!("{} {} at {}", notice.reason, notice.actor, notice.at)));
    whole(notice, blocks)
}

/// The first message of an incident's thread, as it stands: short, and renewed in place.
pub fn card(notice: &Notice) -> Value {
    let mut blocks = vec![header(&words::headline(notice)), plain(&words::place(notice))];
    blocks.extend(words::cause(notice).map(|text| plain(&format!("Cause: {text}"))));
    blocks.extend(words::plan(notice).map(|text| plain(&format!("Plan: {text}"))));
    blocks.extend(approve(notice));
    if notice.occasion == Occasion::Ended {
        blocks.extend(words::happened(notice).map(|text| plain(&text)));
    }
    blocks.push(context(&format!(
        "{} occurrence(s), {} at {}; details in the thread",
        notice.occurrences, notice.reason, notice.at
    )));
    whole(notice, blocks)
}

fn whole(notice: &Notice, mut blocks: Vec<Value>) -> Value {
    blocks.truncate(MAX_BLOCKS);
    json!({
        "text": fitting(&format!("{} | {}", words::headline(notice), words::place(notice)), TEXT),
        "blocks": blocks,
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

fn shown(lines: &[String]) -> String {
    let mut text: Vec<String> = lines
        .iter()
        .take(MAX_SHOWN)
        .map(|line| format!("• {}", clip(line, 250)))
        .collect();
    let more = lines.len().saturating_sub(MAX_SHOWN);
    if more > 0 {
        text.push(format!("… and {more} more: kubectl incident show"));
    }
    text.join("\n")
}

fn steps(notice: &Notice) -> Vec<Value> {
    let Some(plan) = &notice.plan else { return Vec::new() };
    let mut blocks = Vec::new();
    for (number, step) in plan.steps.iter().take(MAX_SHOWN).enumerate() {
        blocks.push(code(&format!("*Step {}*", number.saturating_add(1)), &step.command));
        let back = step.rollback.as_ref().map_or_else(
            || "cannot be taken back".to_owned(),
            |command| format!("taken back by: {command}"),
        );
        blocks.push(context(&format!("{}; {back}", step.impact)));
    }
    let more = plan.steps.len().saturating_sub(MAX_SHOWN);
    if more > 0 {
        let name = format!("{} -n {}", notice.name, notice.namespace);
        blocks.push(plain(&format!("… and {more} more steps: kubectl incident show {name}")));
    }
    blocks
}

fn approve(notice: &Notice) -> Option<Value> {
    let line = notice.approve.as_ref()?;
    Some(code("*To approve, as yourself, in a terminal*", line))
}
