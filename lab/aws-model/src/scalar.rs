//! Values that are written as text: in forms, XML, headers, paths and query strings.

use crate::blob;
use crate::check::Checker;
use crate::model::{Kind, Shape, TimeFormat};

/// Checks a text that stands for a value of the shape. `format` is how a time is written where
/// neither the member nor its shape says so.
pub(crate) fn check(checker: &mut Checker<'_>, shape: &Shape, text: &str, format: TimeFormat) {
    match &shape.kind {
        Kind::String => checker.text(shape, text),
        Kind::Integer { .. } => match text.parse() {
            Ok(number) => checker.integer(shape, number),
            Err(_) => checker.wrong_type("integer", text),
        },
        Kind::Float => match text.parse() {
            Ok(number) => checker.number(shape, number),
            Err(_) => checker.wrong_type("float", text),
        },
        Kind::Boolean => {
            if !matches!(text, "true" | "false") {
                checker.wrong_type("boolean", text);
            }
        }
        Kind::Blob => match blob::decoded_length(text) {
            Some(length) => checker.length(shape, usize::try_from(length).unwrap_or(usize::MAX)),
            None => checker.wrong_type("blob", text),
        },
        Kind::Timestamp => {
            if !is_time(text, shape.timestamp_format.unwrap_or(format)) {
                checker.wrong_type("timestamp", text);
            }
        }
        Kind::Structure(_) => checker.wrong_type("structure", text),
        Kind::List(_) => checker.wrong_type("list", text),
        Kind::Map { .. } => checker.wrong_type("map", text),
    }
}

/// Whether a text is a time in this format.
pub(crate) fn is_time(text: &str, format: TimeFormat) -> bool {
    match format {
        TimeFormat::Iso8601 => text.parse::<jiff::Timestamp>().is_ok(),
        TimeFormat::Rfc822 => jiff::fmt::rfc2822::parse(text).is_ok(),
        TimeFormat::Unix => text.parse::<f64>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert!(is_time("2026-11-23T10:00:00.123Z", TimeFormat::Iso8601));
        assert!(!is_time("2026-11-23 10:00", TimeFormat::Iso8601));
        assert!(is_time("Mon, 23 Nov 2026 10:00:00 GMT", TimeFormat::Rfc822));
        assert!(!is_time("2026-11-23T10:00:00Z", TimeFormat::Rfc822));
        assert!(is_time("1795428000.5", TimeFormat::Unix));
    }
}
