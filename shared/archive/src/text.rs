//! Bytes of an artifact in messages.

use std::fmt::Write;

/// These bytes in quotation marks, at most `limit` of them: what is not printable is escaped, so
/// that a message cannot carry a terminal's control sequences, and what is left out is said.
pub(crate) fn shown(bytes: &[u8], limit: usize) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.get(..limit).unwrap_or(bytes).utf8_chunks() {
        text.extend(chunk.valid().escape_debug());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    if bytes.len() > limit {
        text.push_str("...");
    }
    text
}
