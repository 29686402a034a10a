//! The patterns of models.

use std::sync::OnceLock;

use fancy_regex::Regex;

/// A pattern, made ready when it is first needed.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) compiled: OnceLock<Result<Regex, String>>,
}

impl Pattern {
    /// Whether the whole text matches: the services take patterns so, whether or not they are anchored
    /// ("Member must satisfy regular expression pattern" is said of `x y` for `\w+`).
    ///
    /// # Errors
    /// Why the pattern cannot be used.
    pub(crate) fn matches(&self, text: &str) -> Result<bool, String> {
        let compiled = self.compiled.get_or_init(|| {
            Regex::new(&format!("^(?:{})$", translate(&self.text)))
                .map_err(|error| error.to_string())
        });
        match compiled {
            Ok(regex) => regex.is_match(text).map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        }
    }
}

/// Java's way of writing a pattern in that of the `regex` crates: `\u0020` names a character by four
/// digits, a surrogate has no meaning by itself, `[` and `&&`, `--`, `~~` inside a class are literal.
fn translate(pattern: &str) -> String {
    // What models write for "every character of XML": the range of surrogates, and a plane that Java
    // does not read as it is meant. Both stand for all characters.
    let pattern = pattern
        .replace(r"\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF", r"\u00A0-\x{10FFFF}")
        .replace(r"\uD83C\uDF00-\uDBFF\uDFFF", r"\x{1F300}-\x{10FFFF}")
        .replace(r"\p{ASCII}", r"[\x00-\x7F]");
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(next) = rest.next() {
        match next {
            '\\' => match rest.next() {
                Some('u') => {
                    let digits: String = rest.by_ref().take(4).collect();
                    out.push_str(&format!(r"\x{{{digits}}}"));
                }
                Some(escaped) => out.extend(['\\', escaped]),
                None => out.push('\\'),
            },
            '[' if in_class => out.push_str(r"\["),
            '[' => {
                in_class = true;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that closes at once is a literal one.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', next]),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        let pattern = Pattern { text: pattern.to_owned(), compiled: OnceLock::new() };
        assert_eq!(pattern.matches(text), Ok(expected), "{pattern:?} {text}");
    }

    #[test]
    fn patterns_of_models() {
        check(r"[\w+=,.@-]+", "a b", false);
        check(r"[\w+=,.@-]+", "a@b", true);
        check(r"^(?!\s*$).+", " ", false);
        check(r"^(?!\s*$).+", "x", true);
        check(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", "aé 1", true);
        check(r"[\u0020-\u00FF]+", "abc", true);
        check(r"[\u0020-\u00FF]+", "\u{0100}", false);
        check(r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)", "12", false);
        check(r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)", "v12", true);
        check(r"\p{ASCII}*", "é", false);
        check(r"^[!#$%&'*+-.^_`|~0-9a-zA-Z]+$", "x~&", true);
        check(r"[0-9A-Za-z\.\-_]*(?<!\.)", "bucket.", false);
    }
}
