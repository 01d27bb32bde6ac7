//! How many tokens a text will be, before a provider says so. Too many rather than too few: it is what a budget reserves. Called by
//! `run` and `budget`.

/// Four letters of English or JSON are about a token; what is not ASCII is taken as a token each.
pub fn estimate(text: &str) -> u64 {
    let (mut plain, mut other) = (0_u64, 0_u64);
    for c in text.chars() {
        if c.is_ascii() {
            plain = plain.saturating_add(1);
        } else {
            other = other.saturating_add(1);
        }
    }
    plain.div_ceil(4).saturating_add(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_counts_more() {
        assert_eq!(estimate(""), 0);
        assert_eq!(estimate("abcde"), 2);
        assert_eq!(estimate("äöü"), 3);
    }
}
