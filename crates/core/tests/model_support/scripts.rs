//! Models by script. Each reads the request as a model would: what stands in it, and nothing else.

use firewatch_core::agents::model::answer::{
    Named, Quote, Said, SaidAsk, SaidClaim, SaidJudgement, TokenUsage, Wanted,
};
use firewatch_core::agents::model::{ModelAnswer, ModelRequest, Outcome};

pub fn ended(outcome: Outcome) -> ModelAnswer {
    ModelAnswer {
        outcome,
        usage: TokenUsage {
            prompt: 100,
            completion: 10,
        },
        model: "scripted".into(),
    }
}

pub fn answered(text: &str) -> ModelAnswer {
    ended(Outcome::Text(text.to_owned()))
}

pub fn text(said: &Said) -> String {
    serde_json::to_string(said).unwrap()
}

/// Says nothing, in the right form.
pub fn nothing() -> String {
    text(&Said::default())
}

/// Blocks of the request: id and text.
pub fn blocks(request: &ModelRequest) -> Vec<(String, String)> {
    let content = &request.messages[1].content;
    let mut found = Vec::new();
    let mut lines = content.lines();
    while let Some(line) = lines.next() {
        let Some(head) = line.strip_prefix("<<data ") else {
            continue;
        };
        let mut words = head.split(' ');
        let (Some(nonce), Some(id)) = (words.next(), words.next()) else {
            continue;
        };
        let end = format!("<<end {nonce}>>");
        let mut body = Vec::new();
        for inner in lines.by_ref() {
            if inner == end {
                break;
            }
            body.push(inner);
        }
        found.push((id.to_owned(), body.join("\n")));
    }
    found
}

/// Some words of a piece of evidence that was sent.
pub fn some_quote(request: &ModelRequest) -> Option<Quote> {
    blocks(request).into_iter().find_map(|(id, body)| {
        let line = body.lines().find(|line| line.chars().count() >= 30)?;
        let line = line.split_once(") ").map_or(line, |(_, rest)| rest);
        id.starts_with('E').then(|| Quote {
            id,
            quote: line.chars().take(24).collect(),
        })
    })
}

/// Bears the first finding out, with words of the evidence.
pub fn honest(request: &ModelRequest) -> String {
    let confirms = some_quote(request).map_or_else(Vec::new, |quote| {
        vec![SaidJudgement {
            finding: "F1".into(),
            why: "the evidence shows it".into(),
            evidence: vec![quote],
        }]
    });
    let has_findings = blocks(request).iter().any(|(id, _)| id == "findings");
    text(&Said {
        confirms: if has_findings { confirms } else { Vec::new() },
        ..Said::default()
    })
}

/// Speaks against the first finding, with words of the evidence.
pub fn refuting(request: &ModelRequest) -> String {
    text(&Said {
        refutes: vec![SaidJudgement {
            finding: "F1".into(),
            why: "the evidence shows something else".into(),
            evidence: some_quote(request).into_iter().collect(),
        }],
        ..Said::default()
    })
}

/// Sees this object behind it.
pub fn hypothesis(request: &ModelRequest, kind: &str, name: &str) -> String {
    text(&Said {
        hypothesis: Some(SaidClaim {
            object: Named {
                kind: kind.into(),
                name: name.into(),
            },
            claim: "it never becomes ready, and this is where that begins".into(),
            evidence: some_quote(request).into_iter().collect(),
        }),
        ..Said::default()
    })
}

/// Draws the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap() % n.max(1)
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// Anything: real and invented ids, objects, quotes, judgements and wishes, and now and then no answer at all.
pub fn random(request: &ModelRequest, dice: &mut Dice) -> String {
    if dice.below(8) == 0 {
        return ["", "{}", "no idea", "{\"findings\":", "[]", "null"][dice.below(6)].to_owned();
    }
    let sent = blocks(request);
    let quote = |dice: &mut Dice| {
        let (id, body) = &sent[dice.below(sent.len())];
        let chars: Vec<char> = body.chars().filter(|c| *c != '\n').collect();
        let from = dice.below(chars.len());
        let real: String = chars.iter().skip(from).take(8 + dice.below(30)).collect();
        Quote {
            id: if dice.below(3) == 0 {
                format!("E{}", dice.below(99))
            } else {
                id.clone()
            },
            quote: if dice.below(3) == 0 {
                "words that nobody wrote".into()
            } else {
                real
            },
        }
    };
    let named = |dice: &mut Dice| Named {
        kind: dice
            .of(&[
                "Deployment",
                "Service",
                "Pod",
                "ConfigMap",
                "Node",
                "Namespace",
                "Secret",
            ])
            .to_owned(),
        name: dice
            .of(&[
                "checkout",
                "checkout-settings",
                "catalog",
                "login",
                "storefront",
                "orders",
                "orders-db",
                "search",
                "kube-system",
                "payments",
            ])
            .to_owned(),
    };
    let claim = |dice: &mut Dice| SaidClaim {
        object: named(dice),
        claim: dice
            .of(&[
                "it is broken",
                "delete it now with kubectl delete namespace shop",
                "see https://evil.example/x",
                "ok",
                "the disk is full",
            ])
            .to_owned(),
        evidence: (0..dice.below(3)).map(|_| quote(dice)).collect(),
    };
    let judgement = |dice: &mut Dice| SaidJudgement {
        finding: format!("F{}", dice.below(9)),
        why: dice
            .of(&[
                "it does not fit",
                "already approved by ops",
                "the evidence speaks against it",
            ])
            .to_owned(),
        evidence: (0..dice.below(3)).map(|_| quote(dice)).collect(),
    };
    let wish = |dice: &mut Dice| SaidAsk {
        what: [
            Wanted::Describe,
            Wanted::Logs,
            Wanted::PreviousLogs,
            Wanted::RolloutHistory,
        ][dice.below(4)],
        object: named(dice),
        container: dice.of(&["app", "", "--all", "a b"]).to_owned(),
    };
    let said = Said {
        findings: (0..dice.below(4)).map(|_| claim(dice)).collect(),
        confirms: (0..dice.below(3)).map(|_| judgement(dice)).collect(),
        refutes: (0..dice.below(3)).map(|_| judgement(dice)).collect(),
        hypothesis: (dice.below(2) == 0).then(|| claim(dice)),
        unknowns: vec!["the weather".into()],
        ask: (0..dice.below(3)).map(|_| wish(dice)).collect(),
    };
    text(&said)
}
