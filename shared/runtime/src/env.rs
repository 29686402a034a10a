//! The environment, read once, in `main`.

use lifeboat_core::Fault;

/// The value of an environment variable that the function cannot start without.
///
/// # Errors
/// [`lifeboat_core::ErrorName::NeedsHuman`] when it is not set or empty: the deployment is broken.
pub fn required(name: &'static str) -> Result<String, Fault> {
    optional(name).ok_or_else(|| {
        Fault::needs_human(format!(
            "environment variable {name} is not set; deploy the stack's template again"
        ))
    })
}

/// The value of an environment variable; none when it is not set or empty.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named() {
        let fault = required("LIFEBOAT_TEST_NEVER_SET").unwrap_err();
        assert!(fault.message.contains("LIFEBOAT_TEST_NEVER_SET"), "{fault}");
        assert_eq!(optional("LIFEBOAT_TEST_NEVER_SET"), None);
    }
}
