//! How a generic webhook is signed: HMAC-SHA256 over when it was sent and what, so that a receiver can refuse what is forged or old.
//! Called by the sender.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Seconds since 1970, as they were signed.
pub const TIMESTAMP_HEADER: &str = "firewatch-timestamp";
/// `v1=` and 64 hex digits.
pub const SIGNATURE_HEADER: &str = "firewatch-signature";

/// The signature over `<timestamp>.<body>`. Nothing where the secret is empty: what anybody could sign is not signed.
pub fn sign(secret: &[u8], timestamp: i64, body: &[u8]) -> Option<String> {
    if secret.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(format!("v1={}", hex::encode(mac.finalize().into_bytes())))
}
