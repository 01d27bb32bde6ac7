//! How alike two names are, to point at what was probably meant. Only ever a hint for people, never a value that is applied.

/// Levenshtein's distance. Names longer than 253 characters are not compared.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(254).collect(), b.chars().take(254).collect());
    if a.len() > 253 || b.len() > 253 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let here = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(above.saturating_add(1));
            diagonal = above;
            left = here;
            next.push(here);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// The names most like `name`: one contains the other's words, or a few letters differ. At most two.
pub fn closest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let words = |text: &str| {
        text.split(['-', '.', '_'])
            .filter(|word| word.len() > 2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let own = words(name);
    let mut rated: Vec<(usize, &str)> = known
        .into_iter()
        .filter(|other| *other != name)
        .filter_map(|other| {
            let theirs = words(other);
            let shared = own
                .iter()
                .filter(|word| {
                    theirs
                        .iter()
                        .any(|their| their.starts_with(word.as_str()) || word.starts_with(their.as_str()))
                })
                .count();
            let apart = distance(name, other);
            let alike = shared * 2 >= own.len().max(theirs.len()).max(1) || apart <= 2.max(name.len() / 5);
            alike.then_some((apart, other))
        })
        .collect();
    rated.sort_unstable();
    rated.into_iter().take(2).map(|(_, other)| other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changes() {
        for (a, b, n) in [
            ("", "", 0),
            ("wge", "wget", 1),
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("same", "same", 0),
        ] {
            assert_eq!(distance(a, b), n, "{a} {b}");
        }
    }

    #[test]
    fn names_that_were_probably_meant_are_found() {
        assert_eq!(
            closest("web-config", ["web-configuration", "db-secrets"]),
            ["web-configuration"]
        );
        assert_eq!(closest("gatway", ["gateway", "orders"]), ["gateway"]);
        assert_eq!(closest("cart", ["ledger", "mail"]), Vec::<&str>::new());
    }
}
