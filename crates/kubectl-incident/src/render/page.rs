//! Labelled lines with a hanging indent: what every screen of the plugin is made of. Knows nothing of what it shows.

use super::style::{Palette, Tone};
use super::text::{cut, width, wrap};

/// Columns of the label.
pub const LABEL: usize = 10;

/// The lines so far.
#[derive(Clone, Debug)]
pub struct Page {
    /// Lines.
    pub lines: Vec<String>,
    /// Columns of the terminal.
    pub columns: usize,
    /// Colours.
    pub palette: Palette,
}

impl Page {
    /// An empty one.
    pub fn new(columns: usize, palette: Palette) -> Self {
        Self {
            lines: Vec::new(),
            columns,
            palette,
        }
    }

    /// A labelled text, wrapped, with at most so many lines.
    pub fn text(&mut self, most: usize, label: &str, text: &str) {
        let columns = self.columns.saturating_sub(LABEL);
        let mut lines = wrap(text, columns);
        if lines.len() > most {
            lines.truncate(most);
            if let Some(last) = lines.last_mut() {
                *last = format!("{}…", cut(last, columns.saturating_sub(1)).trim_end_matches('…'));
            }
        }
        for (number, line) in lines.into_iter().enumerate() {
            self.raw(if number == 0 { label } else { "" }, &line);
        }
    }

    /// A labelled line, as it is.
    pub fn raw(&mut self, label: &str, text: &str) {
        let padded = format!("{label:<LABEL$}");
        let line = format!("{}{text}", self.palette.paint(Tone::Strong, &padded));
        self.lines.push(if label.is_empty() {
            format!("{:LABEL$}{text}", "")
        } else {
            line
        });
    }
}

/// Lines on the terminal, where a long command takes several.
pub fn height(lines: &[String], columns: usize) -> usize {
    lines
        .iter()
        .map(|line| width(line).div_ceil(columns.max(1)).max(1))
        .sum()
}
