//! Takes the output of `kubectl get -o json` apart into objects, as text, so that each is parsed once, into its own type. Output that was
//! cut is taken apart as far as it is whole.
//!
//! It looks at brackets and strings only and must never interpret: what is no JSON is found when it is parsed. Called by the case file.

/// The text of every object.
pub(super) fn objects(output: &str) -> Vec<&str> {
    let text = output.trim_start();
    match text.as_bytes().first() {
        Some(b'[') => elements(text, 0),
        Some(b'{') => match value_at(text, "items") {
            Some(at) => elements(text, at),
            None => vec![text],
        },
        _ => Vec::new(),
    }
}

/// A string of an object's top level, where it holds no escapes.
pub(super) fn field<'t>(object: &'t str, key: &str) -> Option<&'t str> {
    let at = value_at(object, key)?;
    let text = object.get(at..end_of_value(object, at)?)?;
    text.strip_prefix('"')?
        .strip_suffix('"')
        .filter(|text| !text.contains('\\'))
}

/// Where the value of a key of an object's top level begins.
fn value_at(object: &str, key: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        at = over_space(object, at);
        if object.as_bytes().get(at) != Some(&b'"') {
            return None;
        }
        let end = end_of_value(object, at)?;
        let name = object.get(at + 1..end - 1)?;
        at = over_space(object, end);
        if object.as_bytes().get(at) != Some(&b':') {
            return None;
        }
        at = over_space(object, at + 1);
        if name == key {
            return Some(at);
        }
        at = end_of_value(object, at)?;
    }
}

/// The elements of the list that begins there.
fn elements(text: &str, start: usize) -> Vec<&str> {
    let mut found = Vec::new();
    if text.as_bytes().get(start) != Some(&b'[') {
        return found;
    }
    let mut at = over_space(text, start + 1);
    while let Some(end) = end_of_value(text, at) {
        found.extend(text.get(at..end).filter(|element| element.starts_with('{')));
        at = over_space(text, end);
    }
    found
}

/// The first place from there on that is neither white space nor a comma.
fn over_space(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let over = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b','))
        .count();
    at + over
}

/// Where the value that begins there ends; none where it does not end, or nothing begins there.
fn end_of_value(text: &str, at: usize) -> Option<usize> {
    let rest = text.as_bytes().get(at..)?;
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (offset, byte) in rest.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    in_string = false;
                    if depth == 0 {
                        return Some(at + offset + 1);
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if depth == 0 {
                    // The end of what is around: a number or a word before it, or nothing.
                    return (offset > 0).then_some(at + offset);
                }
                depth -= 1;
                if depth == 0 {
                    return Some(at + offset + 1);
                }
            }
            b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => return (offset > 0).then_some(at + offset),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_apart_at_its_own_items_only() {
        let output = r#" {"apiVersion":"v1","firewatch":{"items":[{"no":1}],"errors":["\"items\":[{}]"]},"items":[ {"a":"}]"},
            {"b":{"items":[1]}} ],"kind":"List"}"#;
        assert_eq!(objects(output), [r#"{"a":"}]"}"#, r#"{"b":{"items":[1]}}"#]);
    }

    #[test]
    fn one_object_is_one_and_an_array_is_a_list() {
        assert_eq!(objects(r#"{"kind":"Pod"}"#), [r#"{"kind":"Pod"}"#]);
        assert_eq!(objects(r#"[{"a":1}, 7, null, {"b":2}]"#), [r#"{"a":1}"#, r#"{"b":2}"#]);
        assert_eq!(objects(r#"{"items":7}"#), Vec::<&str>::new());
        assert_eq!(objects("No resources found"), Vec::<&str>::new());
    }

    #[test]
    fn what_was_cut_is_read_as_far_as_it_is_whole() {
        let whole = r#"{"items":[{"a":1},{"b":"x"}]}"#;
        let first = r#"{"a":1}"#;
        for (cut, expected) in [
            (12, &[][..]),
            (17, &[first][..]),
            (22, &[first][..]),
            (27, &[first, r#"{"b":"x"}"#][..]),
        ] {
            assert_eq!(objects(whole.get(..cut).unwrap_or_default()), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_field_is_that_of_the_top_level() {
        let object = r#"{"metadata":{"kind":"No"},"kind":"Pod","odd":"a\"b","number":3}"#;
        assert_eq!(field(object, "kind"), Some("Pod"));
        assert_eq!(field(object, "odd"), None);
        assert_eq!(field(object, "number"), None);
        assert_eq!(field(object, "name"), None);
    }
}
