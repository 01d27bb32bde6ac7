//! Colours, where there is a terminal and nobody asked for none (`NO_COLOR`).

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// What a piece of text means; how that looks is decided here alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Labels and headings.
    Strong,
    /// Less important.
    Faint,
    /// It is well.
    Good,
    /// Needs attention.
    Warn,
    /// Something is broken.
    Bad,
}

/// Colours on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    colours: bool,
}

impl Palette {
    /// No colours, whatever the terminal.
    pub const fn plain() -> Self {
        Self { colours: false }
    }

    /// Colours where standard output is a terminal that wants them.
    pub fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Self {
            colours: wanted && std::io::stdout().is_terminal(),
        }
    }

    /// `text` in this tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colours || text.is_empty() {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Tone::Warn => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Tone::Bad => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
        };
        format!("{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_text_is_untouched() {
        assert_eq!(Palette::plain().paint(Tone::Bad, "down"), "down");
        assert_eq!(
            Palette { colours: true }.paint(Tone::Strong, "x"),
            "\u{1b}[1mx\u{1b}[0m"
        );
    }
}
