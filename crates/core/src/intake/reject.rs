//! Why a body was not taken: one field, one closed reason. Called by both webhook parsers; the operator makes a problem document of it.

use strum::{AsRefStr, Display, EnumIter};

use crate::text::clip;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, Display, EnumIter)]
pub enum Why {
    /// The body is larger than is read.
    TooLarge,
    /// The body is not JSON, or nested deeper than any sender does.
    NotJson,
    /// A field that must be there is not, or is null.
    Missing,
    /// A field is of another JSON type.
    WrongType,
    /// A text that must say something is empty.
    Empty,
    /// A text or list is longer than any sender makes it.
    TooLong,
    /// A version of the format that is not known.
    UnknownVersion,
    /// A word out of a closed set that is not in it.
    UnknownValue,
    /// A time that is not RFC 3339.
    NotATime,
}

impl Why {
    /// What the sender can do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::TooLarge => "send fewer alerts at once: max_alerts of the receiver, or a finer group_by",
            Self::NotJson => "send the JSON object that the format describes",
            Self::Missing => "send the field",
            Self::WrongType => "send the field in the type that the format describes",
            Self::Empty => "the field must not be empty",
            Self::TooLong => "shorten it",
            Self::UnknownVersion => "Alertmanager's webhook version is 4; no other is known",
            Self::UnknownValue => "send one of the values that the format describes",
            Self::NotATime => "send an RFC 3339 time, as in 2026-01-02T03:04:05Z",
        }
    }
}

/// A body that was not taken. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}; {}", why.remedy())]
pub struct Rejection {
    /// The path of the field, as in `alerts[3].labels.pod`; `body` for the whole.
    pub field: String,
    /// What is wrong with it.
    pub why: Why,
}

impl Rejection {
    /// About a field. Its name may hold what a stranger sent, so it is cleaned and cut.
    pub fn new(field: impl AsRef<str>, why: Why) -> Self {
        Self {
            field: clip(&clean(field.as_ref()), 128),
            why,
        }
    }
}

/// Text of a stranger in one line: control characters, and those that turn the reading direction or hide, become blanks.
pub fn clean(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if hidden(c) { ' ' } else { c }).collect()
}
