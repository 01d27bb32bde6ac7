//! How alike two names are, to point at what was probably meant: a hint for people. The one exception is `typo`, which is strict enough
//! that a plan may propose its answer to the person who approves.

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

/// The one name that `name` must have meant: it differs by case or separators alone, or by two letters at most in one long word, and no
/// other name is near. Names that differ by a number, or in a short word, are siblings (`node-1`, `app-b`), not slips.
pub fn typo<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let mut near: Vec<&str> = known.into_iter().filter(|other| is_slip(name, other)).collect();
    near.sort_unstable();
    near.dedup();
    match near.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

fn is_slip(name: &str, other: &str) -> bool {
    let words = |text: &str| {
        text.to_ascii_lowercase()
            .split(['-', '.', '_', '/', ':'])
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (words(name), words(other));
    if name == other || ours.len() != theirs.len() {
        return false;
    }
    let mut apart = ours.iter().zip(&theirs).filter(|(a, b)| a != b);
    match (apart.next(), apart.next()) {
        (None, _) => true,
        (Some((a, b)), None) => {
            let letters = |text: &str| text.chars().all(|c| c.is_ascii_alphabetic());
            a.len().min(b.len()) >= 5 && letters(a) && letters(b) && distance(a, b) <= 2
        }
        _ => false,
    }
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
        // The longest name that Kubernetes has, and one more.
        let (longest, longer) = ("n".repeat(253), "n".repeat(254));
        assert_eq!(distance(&longest, "n"), 252);
        for (a, b) in [(longer.as_str(), "n"), ("n", longer.as_str())] {
            assert_eq!(distance(a, b), usize::MAX);
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

    #[test]
    fn only_a_slip_of_the_pen_is_taken_for_a_typo() {
        for (name, known, meant) in [
            ("LOG_LEVLE", &["LOG_LEVEL", "LOG_FORMAT"][..], Some("LOG_LEVEL")),
            ("log-level", &["LOG_LEVEL"], Some("LOG_LEVEL")),
            ("checkout-setings", &["checkout-settings"], Some("checkout-settings")),
            ("settings-1", &["settings-2"], None),
            ("app-a", &["app-b"], None),
            ("prod-db", &["test-db"], None),
            ("reader", &["leader", "header"], None),
            ("settings", &["settings"], None),
            ("settings", &["web-settings"], None),
        ] {
            assert_eq!(typo(name, known.iter().copied()), meant, "{name}");
        }
    }
}
