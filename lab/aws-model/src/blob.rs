//! Base64, as far as a length needs it.

/// How many bytes a text in Base64 stands for; `None` when it is not Base64.
pub(crate) fn decoded_length(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    if padding > 2 || !text.len().is_multiple_of(4) || !digits.bytes().all(known) {
        return None;
    }
    u64::try_from(text.len() / 4 * 3 - padding).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (text, length) in [
            ("", Some(0)),
            ("TQ==", Some(1)),
            ("TWE=", Some(2)),
            ("TWFu", Some(3)),
            ("T", None),
            ("TWF!", None),
        ] {
            assert_eq!(decoded_length(text), length, "{text}");
        }
    }
}
