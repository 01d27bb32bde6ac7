//! The corpus: lines with a secret, and lines without one that look as if. Its two halves are measured apart: `open`, by which rules may
//! be made better, and `held-out`, which was written before and by which none was made. Secrets are made up when the test runs, so
//! that no file here holds what a scanner would take for one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::redact;

const OPEN: (&str, &str) = (
    include_str!("../../../tests/data/redaction/positives-open.txt"),
    include_str!("../../../tests/data/redaction/negatives-open.txt"),
);
const HELD_OUT: (&str, &str) = (
    include_str!("../../../tests/data/redaction/positives-held-out.txt"),
    include_str!("../../../tests/data/redaction/negatives-held-out.txt"),
);

/// Draws the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn draw(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length)
            .map(|_| letters[usize::try_from(self.next() >> 11).unwrap() % letters.len()])
            .collect()
    }
}

const HEX: &str = "0123456789abcdef";
const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A secret of that kind, or what only looks like one.
fn made(kind: &str, dice: &mut Dice) -> String {
    let words = [
        "hunter2winter",
        "correcthorse",
        "Sommer2026",
        "letmein9",
        "tr0ub4dor",
        "blueMonday7",
    ];
    match kind {
        "word" => words[usize::try_from(dice.next() >> 11).unwrap() % words.len()].to_owned(),
        "strong" => format!(
            "{}#{}!{}",
            dice.draw(ALNUM, 7),
            dice.draw(ALNUM, 5),
            dice.draw(ALNUM, 4)
        ),
        "strong2" => format!("{}%21{}", dice.draw(ALNUM, 8), dice.draw(ALNUM, 6)),
        "alnum24" => dice.draw(ALNUM, 24),
        "alnum32" => dice.draw(ALNUM, 32),
        "alnum40" => dice.draw(ALNUM, 40),
        "hex7" => dice.draw(HEX, 7),
        "hex16" => dice.draw(HEX, 16),
        "hex32" => dice.draw(HEX, 32),
        "hex40" => dice.draw(HEX, 40),
        "hex64" => dice.draw(HEX, 64),
        "uuid" => [8, 4, 4, 4, 12].map(|n| dice.draw(HEX, n)).join("-"),
        "b64" => format!("{}=", dice.draw(BASE64, 43)),
        "b64url" => dice.draw(URL64, 43),
        "b64pct" => format!("{}%2B{}%3D", dice.draw(ALNUM, 20), dice.draw(ALNUM, 20)),
        "basic" => format!("{}=", dice.draw(ALNUM, 27)),
        "jwt" => format!(
            "eyJ{}.eyJ{}.{}",
            dice.draw(URL64, 17),
            dice.draw(URL64, 40),
            dice.draw(URL64, 43)
        ),
        "aws" => format!("AKIA{}", dice.draw("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        "awssecret" => dice.draw(BASE64, 40),
        "github" => format!("ghp_{}", dice.draw(ALNUM, 36)),
        "githubpat" => format!("github_pat_{}_{}", dice.draw(ALNUM, 22), dice.draw(ALNUM, 59)),
        "gitlab" => format!("glpat-{}", dice.draw(URL64, 20)),
        "slack" => format!("xoxb-{}-{}", dice.draw("0123456789", 11), dice.draw(ALNUM, 24)),
        "slackhook" => format!(
            "T{}/B{}/{}",
            dice.draw(ALNUM, 8),
            dice.draw(ALNUM, 8),
            dice.draw(ALNUM, 24)
        ),
        "stripe" => format!("sk_live_{}", dice.draw(ALNUM, 24)),
        "whsec" => format!("whsec_{}", dice.draw(ALNUM, 32)),
        "google" => format!("AIza{}", dice.draw(URL64, 35)),
        "ya29" => format!("ya29.{}", dice.draw(URL64, 60)),
        "npm" => format!("npm_{}", dice.draw(ALNUM, 36)),
        "sendgrid" => format!("SG.{}.{}", dice.draw(URL64, 22), dice.draw(URL64, 43)),
        "vault" => format!("hvs.{}", dice.draw(URL64, 24)),
        "openai" => format!("sk-proj-{}", dice.draw(ALNUM, 48)),
        "telegram" => format!("{}:{}", dice.draw("0123456789", 10), dice.draw(URL64, 35)),
        "pem" => {
            let body = [64, 64, 40].map(|n| dice.draw(BASE64, n)).join("\n");
            format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----")
        }
        other => panic!("no kind {other}"),
    }
}

/// A line with its `<kind>`s made, and what was made.
fn expand(line: &str, dice: &mut Dice) -> (String, Vec<String>) {
    let mut text = String::new();
    let mut secrets = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let kind = after.split_once('>').map(|(kind, _)| kind).filter(|kind| {
            !kind.is_empty()
                && kind.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                && *kind != "password"
                && *kind != "nil"
        });
        if let Some(kind) = kind {
            let secret = made(kind, dice);
            text.push_str(&secret);
            secrets.push(secret);
            rest = after.get(kind.len() + 1..).unwrap();
        } else {
            text.push('<');
            rest = after;
        }
    }
    text.push_str(rest);
    (text.replace("\\n", "\n"), secrets)
}

struct Measured {
    secrets: usize,
    missed: Vec<String>,
    harmless: usize,
    taken: Vec<String>,
}

fn measure(half: (&str, &str)) -> Measured {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut measured = Measured {
        secrets: 0,
        missed: Vec::new(),
        harmless: 0,
        taken: Vec::new(),
    };
    for line in half.0.lines() {
        let (text, secrets) = expand(line, &mut dice);
        let left = redact(&text).text;
        assert!(!secrets.is_empty(), "no secret in {line}");
        for secret in secrets {
            measured.secrets += 1;
            // What is left of a secret that was cut counts as missed, too.
            let tail: String = secret.chars().skip(secret.chars().count() / 2).collect();
            if left.contains(&secret) || (tail.len() >= 6 && left.contains(&tail)) {
                measured.missed.push(format!("{line}\n      {left}"));
            }
        }
    }
    for line in half.1.lines() {
        let (text, _) = expand(line, &mut dice);
        measured.harmless += 1;
        let left = redact(&text);
        if left.count > 0 {
            measured.taken.push(format!("{line}\n      {}", left.text));
        }
    }
    measured
}

fn percent(part: usize, whole: usize) -> f64 {
    f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap())
}

#[test]
fn both_halves_of_the_corpus_are_redacted_as_they_should_be() {
    let mut fine = true;
    for (name, half) in [("open", OPEN), ("held-out", HELD_OUT)] {
        let measured = measure(half);
        let recall = 1.0 - percent(measured.missed.len(), measured.secrets);
        let wrong = percent(measured.taken.len(), measured.harmless);
        println!(
            "redaction, {name}: recall {recall:.4} of {} secrets, false positives {wrong:.4} of {} lines",
            measured.secrets, measured.harmless
        );
        for line in &measured.missed {
            println!("  missed: {line}");
        }
        for line in &measured.taken {
            println!("  taken:  {line}");
        }
        assert!(measured.secrets >= 100 && measured.harmless >= 100);
        fine &= recall >= 0.98 && wrong <= 0.02;
    }
    assert!(fine, "see what was missed and taken above");
}
