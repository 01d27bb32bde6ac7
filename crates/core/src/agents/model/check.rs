//! What of an answer is believed: claims whose every citation exists and holds the quoted words, about objects that were observed, and
//! wishes for evidence that the role's own permissions allow. The rest is dropped, and it is said that it was.
//!
//! It must never take a number, an action or a name that the case does not hold. Called by `run`.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::answer::{Named, Quote, Said, SaidAsk, SaidClaim, SaidJudgement, Wanted};
use super::blocks::clean;
use super::sources::Sources;
use super::suspicion;
use crate::api::{ObjectName, Role};
use crate::diagnosis::{CaseFile, objects, questions};
use crate::sandbox::command::{Command, Lane, Resource, Scope};
use crate::sandbox::permissions::Permissions;
use crate::sandbox::policy::{self, Tenancy};
use crate::text::clip;

/// Claims of one answer.
const CLAIMS: usize = 6;
/// Wishes of one answer.
const WISHES: usize = 4;

/// A claim of a model that holds: its object was observed, its evidence holds the words that it quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// About what.
    pub object: ObjectName,
    /// In one sentence; words of a model.
    pub text: String,
    /// Ids.
    pub evidence: Vec<String>,
}

/// A finding of the rules, as it was shown to the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// `F1`
    pub id: String,
    /// What kind.
    pub category: String,
    /// About what.
    pub object: ObjectName,
}

/// What a model says of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// Which.
    pub finding: Shown,
    /// Why; words of a model.
    pub why: String,
    /// Ids.
    pub evidence: Vec<String>,
}

/// What one agent's model adds to the rules, as far as it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Opinion {
    /// Claims that no rule makes.
    pub findings: Vec<Claim>,
    /// Findings that it bears out.
    pub confirms: Vec<Judgement>,
    /// Findings that it speaks against.
    pub refutes: Vec<Judgement>,
    /// The cause that it sees.
    pub hypothesis: Option<Claim>,
    /// What it says cannot be known.
    pub unknowns: Vec<String>,
    /// What of the answer was not believed, in our words.
    pub refused: Vec<String>,
    /// Evidence that reads like an order to a model, in our words.
    pub suspicious: Vec<String>,
    /// Why there is no answer, or not the whole of one.
    pub fault: Option<String>,
    /// Version and digest of the prompt.
    pub prompt: String,
}

/// An answer, checked.
pub(super) struct Checked {
    pub opinion: Opinion,
    pub ask: Vec<Command>,
}

/// A link in a model's words leads where nobody looked.
static LINK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)\b[a-z][a-z0-9+.-]*://\S+|\bwww\.\S+").ok());

/// A model's words, fit to be shown: one line, no links, no secrets, nothing invisible.
fn prose(text: &str) -> Result<String, &'static str> {
    let flat = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let flat = match LINK.as_ref() {
        Some(link) => link.replace_all(&flat, "[link]").into_owned(),
        None => return Err("could not be checked for links"),
    };
    if suspicion::notice(text).or_else(|| suspicion::notice(&flat)).is_some() {
        return Err("reads like an order");
    }
    if flat.chars().count() < 4 {
        return Err("says nothing");
    }
    Ok(clip(&flat, 300))
}

/// The object of that name that the case holds.
fn observed(case: &CaseFile, named: &Named) -> Option<ObjectName> {
    let here = ObjectName::namespaced(&named.kind, case.namespace(), &named.name);
    let cluster = ObjectName::cluster(&named.kind, &named.name);
    [here, cluster].into_iter().find(|name| {
        case.entry(name).is_some()
            || case.target() == Some(name)
            || case.events().iter().any(|event| event.object == *name)
    })
}

fn cited(case: &CaseFile, sources: &mut Sources<'_>, quotes: &[Quote]) -> Result<Vec<String>, &'static str> {
    if quotes.is_empty() {
        return Err("cites no evidence");
    }
    let mut ids: Vec<String> = Vec::new();
    for quote in quotes.iter().take(8) {
        if !case.has_evidence(&quote.id) {
            return Err("cites evidence that does not exist");
        }
        if !sources.holds(&quote.id, &quote.quote) {
            return Err("quotes words that its evidence does not hold");
        }
        if !ids.contains(&quote.id) {
            ids.push(quote.id.clone());
        }
    }
    Ok(ids)
}

fn claim(case: &CaseFile, sources: &mut Sources<'_>, said: &SaidClaim) -> Result<Claim, &'static str> {
    let object = observed(case, &said.object).ok_or("names an object that was not observed")?;
    let evidence = cited(case, sources, &said.evidence)?;
    let text = prose(&said.claim)?;
    Ok(Claim { object, text, evidence })
}

fn judgement(
    case: &CaseFile,
    sources: &mut Sources<'_>,
    shown: &[Shown],
    said: &SaidJudgement,
) -> Result<Judgement, &'static str> {
    let finding = shown
        .iter()
        .find(|known| known.id == said.finding)
        .cloned()
        .ok_or("speaks of a finding that there is not")?;
    let evidence = cited(case, sources, &said.evidence)?;
    let why = prose(&said.why)?;
    Ok(Judgement { finding, why, evidence })
}

/// Checks an answer against the case and the findings that were shown.
pub(super) fn check(case: &CaseFile, role: Role, shown: &[Shown], said: &Said) -> Checked {
    let mut sources = Sources::of(case);
    let mut opinion = Opinion::default();
    let mut refuse = |what: &str, why: &str| {
        let words = format!("{what} was not believed: it {why}");
        if !opinion.refused.contains(&words) {
            opinion.refused.push(words);
        }
    };
    let mut findings = Vec::new();
    for one in said.findings.iter().take(CLAIMS) {
        match claim(case, &mut sources, one) {
            Ok(held) => findings.push(held),
            Err(why) => refuse("a finding", why),
        }
    }
    let mut judge = |list: &[SaidJudgement], what: &str| -> Vec<Judgement> {
        let mut held = Vec::new();
        for one in list.iter().take(CLAIMS) {
            match judgement(case, &mut sources, shown, one) {
                Ok(one) => held.push(one),
                Err(why) => refuse(what, why),
            }
        }
        held
    };
    let confirms = judge(&said.confirms, "a confirmation");
    let refutes = judge(&said.refutes, "a refutation");
    let hypothesis = match said.hypothesis.as_ref().map(|one| claim(case, &mut sources, one)) {
        Some(Ok(held)) => Some(held),
        Some(Err(why)) => {
            refuse("the hypothesis", why);
            None
        }
        None => None,
    };
    let mut unknowns = Vec::new();
    for words in said.unknowns.iter().take(4) {
        match prose(words) {
            Ok(words) => unknowns.push(words),
            Err(why) => refuse("an unknown", why),
        }
    }
    let mut ask: Vec<Command> = Vec::new();
    for wish in said.ask.iter().take(WISHES) {
        match command(case, role, wish) {
            Ok(command) if case.has_asked(&command) || ask.contains(&command) => {}
            Ok(command) => ask.push(command),
            Err(why) => refuse("a wish for evidence", why),
        }
    }
    opinion.findings = findings;
    opinion.confirms = confirms;
    opinion.refutes = refutes;
    opinion.hypothesis = hypothesis;
    opinion.unknowns = unknowns;
    Checked { opinion, ask }
}

/// A wish as a command, checked by the policy that the runner checks it by again.
fn command(case: &CaseFile, role: Role, wish: &SaidAsk) -> Result<Command, &'static str> {
    let object = observed(case, &wish.object).ok_or("names an object that was not observed")?;
    let namespace = case.namespace().to_owned();
    let resource = || {
        <Resource as strum::IntoEnumIterator>::iter()
            .find(|resource| objects::kind_of(*resource) == object.kind)
            .ok_or("names a kind that is not read")
    };
    let scope = match &object.namespace {
        Some(own) => Scope::Namespace(own.clone()),
        None => Scope::Cluster,
    };
    let command = match wish.what {
        Wanted::Describe => Command::Describe {
            resource: resource()?,
            scope,
            name: object.name,
        },
        Wanted::RolloutHistory => Command::RolloutHistory {
            resource: resource()?,
            namespace: namespace.clone(),
            name: object.name,
        },
        Wanted::Logs | Wanted::PreviousLogs if object.kind == "Pod" => Command::Logs {
            namespace: namespace.clone(),
            pod: object.name,
            container: wish.container.clone(),
            previous: wish.what == Wanted::PreviousLogs,
            tail_lines: questions::TAIL,
        },
        Wanted::Logs | Wanted::PreviousLogs => return Err("wants the log of what is no pod"),
    };
    let tenancy = Tenancy::Namespaces(vec![namespace]);
    policy::check(&Permissions::of(role), Lane::Observe, &tenancy, &command)
        .map(|_| command)
        .map_err(|_| "asks for what its role may not read")
}
