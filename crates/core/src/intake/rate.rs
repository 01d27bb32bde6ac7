//! A bucket of tokens for each client, so that one sender cannot keep the others out. Pure: the time comes in. Called by the server.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

/// More clients than this are not remembered; the fullest bucket, whose client asks for the least, is forgotten first.
const MAX_CLIENTS: usize = 1024;

/// One bucket for each client.
#[derive(Clone, Debug)]
pub struct Buckets<K> {
    per_second: f64,
    burst: f64,
    clients: BTreeMap<K, (f64, Timestamp)>,
}

impl<K: Ord + Clone> Buckets<K> {
    /// `burst` at once, then `per_second`.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: f64::from(per_second.max(1)),
            burst: f64::from(burst.max(1)),
            clients: BTreeMap::new(),
        }
    }

    /// Whether this client may now; takes a token where it may.
    pub fn admits(&mut self, client: &K, now: Timestamp) -> bool {
        let (left, at) = self.clients.get(client).copied().unwrap_or((self.burst, now));
        // A clock that goes back gives nothing and takes nothing.
        let passed = now.duration_since(at).as_secs_f64().max(0.0);
        let left = (left + passed * self.per_second).min(self.burst);
        let admitted = left >= 1.0;
        if !self.clients.contains_key(client) && self.clients.len() >= MAX_CLIENTS {
            self.forget_one();
        }
        let rest = if admitted { left - 1.0 } else { left };
        self.clients.insert(client.clone(), (rest, now.max(at)));
        admitted
    }

    fn forget_one(&mut self) {
        let fullest = self
            .clients
            .iter()
            .max_by(|a, b| a.1.0.total_cmp(&b.1.0))
            .map(|(client, _)| client.clone());
        if let Some(client) = fullest {
            self.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap_or_default()
    }

    #[test]
    fn a_burst_is_admitted_and_then_so_many_a_second() {
        let mut buckets = Buckets::new(2, 3);
        let admitted = (0..10).filter(|_| buckets.admits(&"a", at(0))).count();
        assert_eq!(admitted, 3);
        assert!(!buckets.admits(&"a", at(400)));
        assert!(buckets.admits(&"a", at(600)));
    }

    #[test]
    fn one_client_does_not_use_up_another_s() {
        let mut buckets = Buckets::new(1, 1);
        assert!(buckets.admits(&"a", at(0)));
        assert!(!buckets.admits(&"a", at(0)));
        assert!(buckets.admits(&"b", at(0)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut buckets = Buckets::new(1, 1);
        assert!(buckets.admits(&"a", at(10_000)));
        assert!(!buckets.admits(&"a", at(0)));
        assert!(!buckets.admits(&"a", at(10_500)));
        assert!(buckets.admits(&"a", at(11_000)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_a_busy_client_is_not_forgotten() {
        let mut buckets = Buckets::new(1, 2);
        assert!(buckets.admits(&0, at(0)));
        assert!(buckets.admits(&0, at(0)));
        for client in 1..5000 {
            assert!(buckets.admits(&client, at(0)));
        }
        assert!(buckets.clients.len() <= MAX_CLIENTS);
        assert!(!buckets.admits(&0, at(0)));
    }
}
