//! Small pieces of text: cleaned, wrapped, quoted for a shell, and times as people say them.

use k8s_openapi::jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

/// One line without control characters: what a cluster wrote must not move a cursor, hide a line or forge one.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            // Beside control characters, those that reorder or hide what stands on a line.
            c if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The same, for text of several lines.
pub fn clean_lines(text: &str) -> Vec<String> {
    text.lines().map(clean).collect()
}

/// A command as one line that a person can paste into a shell.
pub fn shell(argv: &[String]) -> String {
    let quoted: Vec<String> = argv
        .iter()
        .map(|word| match shlex::try_quote(word) {
            // More readable than the library's quoting of every `=`; none of these means anything to a shell inside a word.
            _ if !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-+=:,./@%".contains(&b)) =>
            {
                word.clone()
            }
            Ok(quoted) => quoted.into_owned(),
            // A NUL byte: no shell can carry it, and no action contains one.
            Err(_) => format!("'{}'", clean(word)),
        })
        .collect();
    clean(&quoted.join(" "))
}

/// `text` cut to `width` columns, with an ellipsis where something was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let columns = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used + columns + 1 > width {
            break;
        }
        used += columns;
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// A command without the flags that only a program needs, cut to so many columns.
pub fn short(command: &str, columns: usize) -> String {
    let words: Vec<&str> = command
        .split(' ')
        .filter(|word| {
            ![
                "--output=",
                "--show-managed-fields",
                "--ignore-not-found",
                "--no-headers",
            ]
            .iter()
            .any(|flag| word.starts_with(flag))
        })
        .collect();
    cut(&words.join(" ").replace(',', ", "), columns)
}

/// Columns that `text` takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// `text` wrapped to lines of at most `width` columns.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let options = textwrap::Options::new(width.max(20)).word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(&clean(text), options)
        .into_iter()
        .map(std::borrow::Cow::into_owned)
        .collect()
}

/// `42s`, `3m10s`, `2h5m`, `3d4h`: a span as kubectl writes it.
pub fn span(seconds: i64) -> String {
    let s = seconds.max(0);
    match s {
        0..=119 => format!("{s}s"),
        120..=599 if s % 60 != 0 => format!("{}m{}s", s / 60, s % 60),
        120..=7199 => format!("{}m", s / 60),
        7200..=86_399 if (s % 3600) / 60 != 0 => format!("{}h{}m", s / 3600, (s % 3600) / 60),
        7200..=172_799 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// How long ago.
pub fn since(now: Timestamp, then: Timestamp) -> String {
    span(now.as_second() - then.as_second())
}

/// `12:15 UTC`.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M UTC").to_string()
}

/// `12:15:07`.
pub fn clock_seconds(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_cannot_drive_the_terminal() {
        assert_eq!(clean("ok\u{1b}[2J\r\u{7}"), "ok\u{fffd}[2J\u{fffd}\u{fffd}");
        assert_eq!(clean("two\nlines"), "two lines");
        assert_eq!(clean("approve\u{202e}on"), "approve\u{fffd}on");
    }

    #[test]
    fn a_command_can_be_pasted() {
        let argv = ["kubectl", "patch", "-p", r#"[{"op":"test"}]"#, "it's"].map(str::to_owned);
        let line = shell(&argv);
        assert_eq!(shlex::split(&line).as_deref(), Some(&argv[..]));
    }

    #[test]
    fn spans_read_as_in_kubectl() {
        for (seconds, text) in [
            (-5, "0s"),
            (42, "42s"),
            (190, "3m10s"),
            (600, "10m"),
            (7500, "2h5m"),
            (200_000, "2d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_cut_says_so_and_fits() {
        assert_eq!(cut("checkout", 20), "checkout");
        assert_eq!(cut("checkout-settings", 8), "checkou…");
        assert_eq!(width(&cut("日本語テキスト", 6)), 5);
    }
}
