//! Why this cause and not another: the chain, what the confidence is made of, what speaks against each alternative, and what would
//! tell them apart. All from what an incident keeps; where that does not tell, it says so.
//!
//! Pure. Called by `kubectl incident explain`.

use serde::Serialize;

use super::causal::{self, split_evidence};
use super::document::{EvidenceSection, FindingSection, ResponseDocument};
use crate::api::ObjectName;
use crate::sandbox::evidence::Stage;

/// The explanation of one incident's cause.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// Name of the Incident.
    pub incident: String,
    /// Its namespace.
    pub namespace: String,
    /// The cause; null where none is shown.
    pub cause: Option<Cause>,
    /// From the symptom to the cause.
    pub chain: Vec<Step>,
    /// What the confidence is made of.
    pub confidence: Vec<Part>,
    /// Other explanations.
    pub alternatives: Vec<Alternative>,
    /// Seen, and part of neither.
    pub also_seen: Vec<String>,
    /// What was asked and not wholly received.
    pub not_read: Vec<String>,
    /// What the repair showed about it; null before a verification.
    pub proof: Option<String>,
    /// Where no cause is shown: what to do.
    pub next_steps: Vec<String>,
}

/// The cause.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// In one sentence.
    pub summary: String,
    /// What kind of trouble.
    pub category: String,
    /// Where it is.
    pub object: ObjectName,
    /// Computed from evidence.
    pub confidence: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// What it is about, where that is known.
    pub object: Option<ObjectName>,
    /// What was seen.
    pub text: String,
    /// Evidence ids.
    pub evidence: Vec<String>,
    /// Who made it so and when, where that is known.
    pub change: Option<String>,
}

/// One thing that raised or lowered the confidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `+` or `-`.
    pub sign: char,
    /// What.
    pub text: String,
}

/// Another explanation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// What it says.
    pub text: String,
    /// Evidence ids.
    pub evidence: Vec<String>,
    /// What speaks against it.
    pub against: String,
    /// What would tell it from the cause.
    pub would_tell: String,
}

/// Of this investigation.
pub fn explain(d: &ResponseDocument) -> Explanation {
    let chain = causal::chain(d);
    let findings: Vec<&FindingSection> = d
        .workflow
        .sre_findings
        .iter()
        .chain(&d.workflow.code_analysis)
        .collect();
    let cause = d.workflow.root_cause.as_ref();
    let alternatives: Vec<Alternative> = cause
        .iter()
        .flat_map(|cause| &cause.alternatives)
        .map(|text| alternative(text, &findings, d))
        .collect();
    let also_seen = causal::beside(d, &chain)
        .into_iter()
        .filter(|finding| !alternatives.iter().any(|other| other.text == finding.summary))
        .map(|finding| format!("{}: {}", finding.object, finding.summary))
        .collect();
    let not_read: Vec<String> = gaps(&d.audit.evidence)
        .map(|one| format!("{} {} ({})", one.id, one.command, one.state))
        .collect();
    Explanation {
        incident: d.alert.incident.clone(),
        namespace: d.alert.namespace.clone(),
        cause: cause.map(|cause| Cause {
            summary: cause.summary.clone(),
            category: cause.category.clone(),
            object: cause.object.clone(),
            confidence: cause.confidence.clone(),
        }),
        chain: chain
            .into_iter()
            .map(|step| Step {
                object: step.object,
                text: step.text,
                evidence: step.evidence,
                change: step.change,
            })
            .collect(),
        confidence: cause.map_or_else(Vec::new, |cause| parts(d, &cause.evidence, alternatives.len())),
        alternatives,
        also_seen,
        not_read,
        proof: proof(d),
        next_steps: if cause.is_none() {
            d.outcome.next_steps.clone()
        } else {
            Vec::new()
        },
    }
}

fn gaps(evidence: &[EvidenceSection]) -> impl Iterator<Item = &EvidenceSection> {
    evidence
        .iter()
        .filter(|one| one.stage == Stage::Investigation && one.state != "Complete")
}

/// What `diagnosis::confidence` adds up, as far as it can be told afterwards.
fn parts(d: &ResponseDocument, cited: &[String], alternatives: usize) -> Vec<Part> {
    let part = |sign, text| Part { sign, text };
    let mut parts: Vec<Part> = cited
        .iter()
        .map(|id| match d.audit.evidence.iter().find(|one| one.id == *id) {
            Some(one) => part('+', format!("{id} shows it: {}", one.command)),
            None => part('+', format!("{id} shows it; it is not kept in the incident any more")),
        })
        .collect();
    let open = gaps(&d.audit.evidence).count();
    if open > 0 {
        parts.push(part(
            '-',
            format!(
                "{open} of the questions were not wholly answered; each that the diagnosis needs costs (0.20 the first, 0.05 each further one, at most 0.40)"
            ),
        ));
    }
    if alternatives > 0 {
        parts.push(part(
            '-',
            format!(
                "{} in the running; where all was read, each that is as deep and nearly as certain costs 0.08, at most 0.16",
                if alternatives == 1 { "another explanation is".to_owned() } else { format!("{alternatives} other explanations are") }
            ),
        ));
    }
    parts
}

fn alternative(sentence: &str, findings: &[&FindingSection], d: &ResponseDocument) -> Alternative {
    // `summary (E1, E2): what speaks against it`; a colon in the summary is no end of it.
    let (claim, against) = findings
        .iter()
        .find_map(|finding| {
            let rest = sentence.strip_prefix(finding.summary.as_str())?;
            let (_, against) = rest.split_once(": ")?;
            Some((sentence.get(..sentence.len() - against.len() - 2)?, against))
        })
        .or_else(|| {
            sentence.rsplit_once("): ").map(|(_, against)| {
                (
                    sentence.get(..sentence.len() - against.len() - 2).unwrap_or(sentence),
                    against,
                )
            })
        })
        .or_else(|| sentence.rsplit_once(": "))
        .unwrap_or((sentence, ""));
    let (text, evidence) = split_evidence(claim);
    let object = findings
        .iter()
        .find(|finding| finding.summary == text)
        .map(|finding| &finding.object);
    Alternative {
        would_tell: would_tell(against, object, d),
        text: text.to_owned(),
        evidence,
        against: against.to_owned(),
    }
}

/// What a person can look at to decide between the cause and this.
fn would_tell(against: &str, object: Option<&ObjectName>, d: &ResponseDocument) -> String {
    let target = d
        .alert
        .target
        .as_ref()
        .map_or_else(|| "the target".to_owned(), ToString::to_string);
    let it = object.map_or_else(|| "it".to_owned(), ToString::to_string);
    let look = object.map_or_else(String::new, |object| format!(" (`{}`)", describe(object)));
    match against {
        "nothing that was read shows that the target suffers from it" => format!(
            "a line in the log or an event of {target} that names {it}: then it would be on the way from the symptom, and it is not{look}"
        ),
        "less evidence supports it" => {
            format!("a second, independent sign of it: a status, an event or a log line about {it}{look}")
        }
        "it began later" => format!(
            "when the symptom began: if that was after {it} changed and not before, the order is the other one{look}"
        ),
        "it does not explain as much" => {
            format!("whether the symptom stays once {it} alone is put right: if it ends, that was the cause{look}")
        }
        _ => format!("what `describe` says of {it} now, against what the chain says{look}"),
    }
}

fn describe(object: &ObjectName) -> String {
    let namespace = object
        .namespace
        .as_ref()
        .map(|namespace| format!(" --namespace={namespace}"))
        .unwrap_or_default();
    format!(
        "kubectl describe {}/{}{namespace}",
        object.kind.to_lowercase(),
        object.name
    )
}

fn proof(d: &ResponseDocument) -> Option<String> {
    let verification = d.workflow.execution.verification.as_ref()?;
    Some(if verification.rolled_back.is_some() {
        "the repair was taken back: that it did not help speaks against this cause, or against this repair of it"
            .to_owned()
    } else if verification.passed {
        "the repair of this cause was carried out, and every check on fresh evidence holds".to_owned()
    } else {
        "the repair of this cause was carried out, and not every check holds: look at the checks before you trust it"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::api::Incident;
    use crate::report::{StoryView, document};

    fn explained(change: impl FnOnce(&mut serde_json::Value)) -> Explanation {
        let mut incident: serde_json::Value =
            serde_json::from_str(include_str!("../../../../tests/data/report/incident.json")).unwrap();
        change(&mut incident["status"]);
        let incident: Incident = serde_json::from_value(incident).unwrap();
        explain(&document(&incident, &StoryView::default()))
    }

    #[test]
    fn it_tells_why_this_and_why_not_the_others_and_what_would_tell_them_apart() {
        let told = explained(|status| {
            status["rootCause"]["chain"][2] = "the key that it needs is missing [E10] ← made so 16 s ago by bob".into();
            status["findings"][1]["summary"] = "Deployment/web calls db:5432: refused".into();
            status["findings"][1]["object"] =
                serde_json::json!({"kind": "Deployment", "namespace": "shop", "name": "web"});
            status["rootCause"]["alternatives"] = serde_json::json!([
                "Deployment/web calls db:5432: refused (E2): it began later",
                "a quota is full (E7, E8): nothing that was read shows that the target suffers from it",
            ]);
            status["evidence"] = serde_json::json!([
                {"id": "E1", "agent": "sre-investigator", "command": "kubectl get pods", "state": "Complete", "sha256": ""},
                {"id": "E9", "agent": "sre-investigator", "command": "kubectl top pods", "state": "Forbidden", "sha256": ""},
            ]);
        });
        assert_eq!(told.chain.len(), 3);
        let last = &told.chain[2];
        assert_eq!(
            (last.text.as_str(), last.evidence.as_slice()),
            ("the key that it needs is missing", &["E10".to_owned()][..])
        );
        assert_eq!(last.change.as_deref(), Some("made so 16 s ago by bob"));
        let first = &told.alternatives[0];
        assert_eq!(first.text, "Deployment/web calls db:5432: refused");
        assert_eq!(
            (first.evidence.as_slice(), first.against.as_str()),
            (&["E2".to_owned()][..], "it began later")
        );
        assert!(
            first
                .would_tell
                .contains("kubectl describe deployment/web --namespace=shop"),
            "{first:?}"
        );
        let second = &told.alternatives[1];
        assert_eq!((second.text.as_str(), second.evidence.len()), ("a quota is full", 2));
        assert!(second.would_tell.contains("Deployment/checkout"), "{second:?}");
        assert_eq!(told.not_read, ["E9 kubectl top pods (Forbidden)"]);
        let signs: String = told.confidence.iter().map(|part| part.sign).collect();
        assert_eq!(
            signs, "++--",
            "two pieces cited, one gap, alternatives: {:?}",
            told.confidence
        );
        assert!(told.proof.unwrap().contains("every check"));
    }

    #[test]
    fn without_a_cause_it_says_what_to_do() {
        let told = explained(|status| {
            status["rootCause"] = serde_json::Value::Null;
            status["nextSteps"] = serde_json::json!(["look at the node"]);
        });
        assert_eq!(told.cause, None);
        assert!(told.confidence.is_empty() && told.alternatives.is_empty());
        assert_eq!(told.next_steps, ["look at the node"]);
        assert_eq!(told.also_seen.len(), 2);
    }
}
