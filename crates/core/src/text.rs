//! Text that must fit: one way to cut it. Called by everything that fills a bounded field.

/// Cuts a text to at most `max` characters, with an ellipsis where something was cut.
pub fn clip(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_so() {
        assert_eq!(clip("äöü", 2), "ä…");
        assert_eq!(clip("abc", 3), "abc");
    }
}
