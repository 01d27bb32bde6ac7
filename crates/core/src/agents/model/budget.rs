//! Money and tokens, exactly: millionths of a dollar, prices, and accounts that are reserved before a call and settled after it.
//!
//! It must never let a reservation through that any account cannot bear. The store does the same arithmetic in one statement; this is
//! the definition that both are tested against. Called by the operator's edge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

/// Millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// From a decimal with at most six places.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || part.len() > 6 || !digits(whole) || !digits(part) {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let part: u64 = format!("{part:0<6}").parse().ok()?;
        whole.checked_mul(1_000_000)?.checked_add(part).map(Self)
    }
}

impl std::fmt::Display for Micros {
    /// `0.001234`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// What a model costs, for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Tokens sent.
    pub prompt: Micros,
    /// Tokens received.
    pub completion: Micros,
}

impl Price {
    /// Rounded up to the next millionth: never less than the bill.
    pub fn of(self, prompt_tokens: u64, completion_tokens: u64) -> Micros {
        let sum = u128::from(prompt_tokens)
            .saturating_mul(u128::from(self.prompt.0))
            .saturating_add(u128::from(completion_tokens).saturating_mul(u128::from(self.completion.0)));
        Micros(u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

/// Tokens and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    /// Tokens, sent and received.
    pub tokens: u64,
    /// Dollars.
    pub cost: Micros,
}

impl Amount {
    fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            cost: self.cost.plus(other.cost),
        }
    }

    fn less(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            cost: Micros(self.cost.0.saturating_sub(other.cost.0)),
        }
    }

    /// Whether neither is more than the other's.
    pub fn fits(self, limit: Self) -> bool {
        self.tokens <= limit.tokens && self.cost <= limit.cost
    }
}

/// Whose account. Ordered: accounts are always locked in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, AsRefStr, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Scope {
    /// One incident.
    Incident,
    /// One namespace on one day.
    NamespaceDay,
    /// The cluster on one day.
    ClusterDay,
}

/// One account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What it may bear.
    pub limit: Amount,
    /// Paid.
    pub spent: Amount,
    /// Promised to calls that are under way, or of which no answer is known.
    pub reserved: Amount,
}

/// An account could not bear it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the budget of the {scope} is spent")]
pub struct BudgetSpent {
    /// Whose.
    pub scope: Scope,
}

/// What a settled call came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The provider billed more than was asked for.
    pub overbilled: bool,
    /// An account is at or above 80 % of its limit.
    pub nearly_spent: bool,
}

/// Reserves in all accounts or in none.
pub fn reserve(accounts: &mut BTreeMap<Scope, Account>, amount: Amount) -> Result<(), BudgetSpent> {
    for (scope, account) in accounts.iter() {
        if !account.spent.plus(account.reserved).plus(amount).fits(account.limit) {
            return Err(BudgetSpent { scope: *scope });
        }
    }
    for account in accounts.values_mut() {
        account.reserved = account.reserved.plus(amount);
    }
    Ok(())
}

/// What was reserved becomes what was spent.
pub fn settle(accounts: &mut BTreeMap<Scope, Account>, reserved: Amount, spent: Amount) -> Settled {
    let mut settled = Settled {
        overbilled: !spent.fits(reserved),
        nearly_spent: false,
    };
    for account in accounts.values_mut() {
        account.reserved = account.reserved.less(reserved);
        account.spent = account.spent.plus(spent);
        settled.nearly_spent |= is_nearly_spent(account.spent, account.limit);
    }
    settled
}

/// At or above 80 %.
pub fn is_nearly_spent(spent: Amount, limit: Amount) -> bool {
    let near = |spent: u64, limit: u64| u128::from(spent).saturating_mul(10) >= u128::from(limit).saturating_mul(8);
    near(spent.tokens, limit.tokens) || near(spent.cost.0, limit.cost.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn amount(tokens: u64, micros: u64) -> Amount {
        Amount {
            tokens,
            cost: Micros(micros),
        }
    }

    #[test]
    fn dollars_are_read_and_written_to_the_sixth_decimal() {
        assert_eq!(Micros::parse("0.15"), Some(Micros(150_000)));
        assert_eq!(Micros::parse("12"), Some(Micros(12_000_000)));
        assert_eq!(Micros(1_234).to_string(), "0.001234");
        for wrong in ["", ".5", "1.1234567", "-1", "1e3", "1,5"] {
            assert_eq!(Micros::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_price_is_never_rounded_down() {
        let price = Price {
            prompt: Micros(150_000),
            completion: Micros(600_000),
        };
        assert_eq!(price.of(1000, 100), Micros(210));
        assert_eq!(price.of(1, 0), Micros(1));
    }

    #[test]
    fn a_reservation_is_in_all_accounts_or_in_none() {
        let mut accounts = BTreeMap::from([
            (
                Scope::Incident,
                Account {
                    limit: amount(100, 100),
                    ..Account::default()
                },
            ),
            (
                Scope::ClusterDay,
                Account {
                    limit: amount(1000, 50),
                    ..Account::default()
                },
            ),
        ]);
        let before = accounts.clone();
        assert_eq!(
            reserve(&mut accounts, amount(10, 60)),
            Err(BudgetSpent {
                scope: Scope::ClusterDay
            })
        );
        assert_eq!(accounts, before);
        reserve(&mut accounts, amount(10, 40)).unwrap();
        let settled = settle(&mut accounts, amount(10, 40), amount(12, 41));
        assert!(settled.overbilled && settled.nearly_spent);
        assert_eq!(accounts[&Scope::ClusterDay].spent, amount(12, 41));
        assert_eq!(accounts[&Scope::ClusterDay].reserved, Amount::default());
    }
}
