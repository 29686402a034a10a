//! The password of a scratch instance.
//!
//! It is computed whenever it is needed, from the plan's secret and the instance's name, so that it is
//! kept nowhere, every call finds the same one, and neither opens anything but that instance nor tells
//! the secret.

use hmac::{Hmac, KeyInit, Mac};
use lifeboat_core::Fault;
use sha2::Sha256;

/// The password of this instance's master user: 64 hexadecimal digits, of the 8 to 128 characters that
/// RDS for PostgreSQL takes (API reference, `ModifyDBInstance`, `MasterUserPassword`).
pub(crate) fn of_scratch(secret: &str, instance: &str) -> Result<String, Fault> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|error| Fault::needs_human(format!("the secret is no key: {error}")))?;
    mac.update(b"lifeboat scratch instance ");
    mac.update(instance.as_bytes());
    Ok(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_has_its_own_and_the_same_one_each_time() {
        let of = |secret, instance| of_scratch(secret, instance).unwrap();
        let one = of("secret", "lifeboat-scratch-queue-1");
        assert_eq!(one, of("secret", "lifeboat-scratch-queue-1"));
        assert_ne!(one, of("secret", "lifeboat-scratch-queue-2"));
        assert_ne!(one, of("rotated", "lifeboat-scratch-queue-1"));
        assert_eq!(one.len(), 64);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()) && !one.contains("secret"));
    }
}
