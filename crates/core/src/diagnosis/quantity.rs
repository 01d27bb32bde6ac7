//! Kubernetes quantities as numbers: CPU in thousandths of a core, memory in bytes. Never fails loudly: text from a cluster that is
//! no quantity is `None`. Called by the case file and the analyzers.

/// `250m`, `0.5`, `2`, `45123456n` as thousandths of a core, rounded up.
pub fn cpu_millis(text: &str) -> Option<u64> {
    let nano = scaled(text, 9, &[("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6)])?;
    u64::try_from(nano.div_ceil(1_000_000)).ok()
}

/// `64Mi`, `1G`, `1073741824`, `128974848000m` as bytes, rounded up.
pub fn bytes(text: &str) -> Option<u64> {
    const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
    for (suffix, shift) in BINARY {
        if let Some(number) = text.strip_suffix(suffix) {
            let micro = scaled(number, 6, &[("", 0)])?;
            return u64::try_from(micro.checked_mul(1_u128 << shift)?.div_ceil(1_000_000)).ok();
        }
    }
    let milli = scaled(
        text,
        3,
        &[
            ("m", -3),
            ("", 0),
            ("k", 3),
            ("M", 6),
            ("G", 9),
            ("T", 12),
            ("P", 15),
            ("E", 18),
        ],
    )?;
    u64::try_from(milli.div_ceil(1_000)).ok()
}

/// Bytes in the shortest binary form that is exact, else in whole MiB, rounded up.
pub fn show_bytes(bytes: u64) -> String {
    const GI: u64 = 1 << 30;
    const MI: u64 = 1 << 20;
    const KI: u64 = 1 << 10;
    match bytes {
        0 => "0".to_owned(),
        b if b.is_multiple_of(GI) => format!("{}Gi", b / GI),
        b if b.is_multiple_of(MI) || b > MI => format!("{}Mi", b.div_ceil(MI)),
        b => format!("{}Ki", b.div_ceil(KI)),
    }
}

/// `number` times ten to the power of its suffix and of `scale`, as a whole number.
fn scaled(text: &str, scale: i32, suffixes: &[(&str, i32)]) -> Option<u128> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let exponent = suffixes.iter().find(|(known, _)| *known == suffix)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let value: u128 = digits.parse().ok()?;
    let power = scale + exponent - i32::try_from(fraction.len()).ok()?;
    let factor = 10_u128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        value.checked_mul(factor)
    } else {
        Some(value.div_ceil(factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubernetes_writes() {
        for (text, millis) in [
            ("250m", 250),
            ("0.5", 500),
            ("2", 2000),
            ("45123456n", 46),
            ("1k", 1_000_000),
        ] {
            assert_eq!(cpu_millis(text), Some(millis), "{text}");
        }
        for (text, count) in [
            ("64Mi", 64 << 20),
            ("1G", 1_000_000_000),
            ("1.5Gi", 3 << 29),
            ("1024", 1024),
            ("1500m", 2),
        ] {
            assert_eq!(bytes(text), Some(count), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_quantity() {
        for text in [
            "",
            "m",
            "Mi",
            "abc",
            "1x",
            "-5",
            "1..2",
            "99999999999999999999999999999999999999Ei",
            "é",
        ] {
            assert_eq!(cpu_millis(text).or(bytes(text)), None, "{text}");
        }
    }

    #[test]
    fn bytes_are_shown_as_people_write_them() {
        assert_eq!(show_bytes(64 << 20), "64Mi");
        assert_eq!(show_bytes(2 << 30), "2Gi");
        assert_eq!(show_bytes((1 << 20) + 1), "2Mi");
        assert_eq!(show_bytes(2048), "2Ki");
    }
}
