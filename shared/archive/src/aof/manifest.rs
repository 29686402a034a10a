//! The manifest of a set of append-only files.
//!
//! One line a file, pairs of a key and a value: `file NAME seq N type b|h|i`. There is at most one
//! base (`b`); increments (`i`) follow it with growing numbers; history (`h`) is what a server will
//! remove (`aof.c` of Redis 7).

use crate::text::shown;

/// Longest manifest that is read; a server's has a few lines.
pub(super) const MANIFEST_LIMIT: u64 = 1024 * 1024;
/// Longest line (`MANIFEST_MAX_LINE` of `aof.c`).
const LINE: usize = 1024;

/// What a file of the set is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Base,
    History,
    Increment,
}

/// A file that the manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) sequence: u64,
    pub(super) kind: Kind,
}

/// What is wrong with a manifest, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) offset: u64,
    pub(super) message: String,
}

/// The files that a server would load, in order, and those that it would not; or why it would refuse
/// the manifest.
pub(super) fn parse(bytes: &[u8]) -> (Vec<Listed>, Vec<Wrong>) {
    let (mut files, mut wrong): (Vec<Listed>, Vec<Wrong>) = (Vec::new(), Vec::new());
    let mut offset = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let at = offset;
        offset += line.len() as u64;
        if line.starts_with(b"#") {
            continue;
        }
        match listed(line).and_then(|file| follows(&files, &file).map(|()| file)) {
            Ok(file) => files.push(file),
            Err(message) => wrong.push(Wrong { offset: at, message }),
        }
    }
    if files.is_empty() && wrong.is_empty() {
        wrong.push(Wrong { offset: 0, message: "the manifest names no file".into() });
    }
    (files, wrong)
}

fn listed(line: &[u8]) -> Result<Listed, String> {
    let not_understood = || format!("{} is no line of a manifest", shown(line.trim_ascii(), 128));
    let text = line.strip_suffix(b"\n").ok_or("the manifest's last line is cut")?;
    if text.len() > LINE {
        return Err("a line of the manifest is too long".into());
    }
    let text = std::str::from_utf8(text).map_err(|_| not_understood())?;
    let words = words(text).ok_or_else(not_understood)?;
    let (mut name, mut sequence, mut kind) = (None, None, None);
    for pair in words.chunks(2) {
        let [key, value] = pair else { return Err(not_understood()) };
        if key.eq_ignore_ascii_case("file") {
            name = Some(value.clone());
        } else if key.eq_ignore_ascii_case("seq") {
            sequence = value.parse().ok().filter(|sequence| *sequence > 0);
        } else if key.eq_ignore_ascii_case("type") {
            kind = match value.as_str() {
                "b" => Some(Kind::Base),
                "h" => Some(Kind::History),
                "i" => Some(Kind::Increment),
                _ => None,
            };
        }
    }
    let (Some(name), Some(sequence), Some(kind)) = (name, sequence, kind) else {
        return Err(not_understood());
    };
    // The server takes a plain name only, and so nothing is ever opened outside the directory.
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
        return Err(format!("{} is a path, not the name of a file", shown(name.as_bytes(), 128)));
    }
    Ok(Listed { name, sequence, kind })
}

/// The words of a line; those in quotation marks may hold spaces and escapes.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut word = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next()? {
                    (end, '"') => break end + 1,
                    (_, '\\') => word.push(chars.next()?.1),
                    (_, other) => word.push(other),
                }
            };
            rest = quoted.get(end..)?;
            if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
                return None;
            }
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            word.push_str(rest.get(..end)?);
            rest = rest.get(end..)?;
        }
        rest = rest.trim_start();
        words.push(word);
    }
    Some(words)
}

/// Whether a file may follow those before it.
fn follows(files: &[Listed], file: &Listed) -> Result<(), String> {
    let of = |kind| files.iter().rev().find(move |before| before.kind == kind);
    if files.iter().any(|before| before.name == file.name) {
        return Err(format!("the manifest names {} twice", shown(file.name.as_bytes(), 128)));
    }
    match file.kind {
        Kind::Base if of(Kind::Base).is_some() => Err("the manifest names a second base".into()),
        Kind::Increment if of(Kind::Increment).is_some_and(|b| b.sequence >= file.sequence) => {
            Err(format!("increment {} does not come behind the one before it", file.sequence))
        }
        Kind::Base | Kind::History | Kind::Increment => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_manifest_is_read() {
        let (files, wrong) = parse(
            b"file appendonly.aof.2.base.rdb seq 2 type b\n\
              file appendonly.aof.1.incr.aof seq 1 type h\n\
              # a comment\n\
              file \"with space\" seq 4 type i startoffset 12\n",
        );
        assert!(wrong.is_empty(), "{wrong:?}");
        let kinds: Vec<_> = files.iter().map(|file| (file.kind, file.sequence)).collect();
        assert_eq!(kinds, [(Kind::Base, 2), (Kind::History, 1), (Kind::Increment, 4)]);
        assert_eq!(files[2].name, "with space");
    }

    #[track_caller]
    fn check_wrong(text: &str, offset: u64, message: &str) {
        let (_, wrong) = parse(text.as_bytes());
        let expected = Wrong { offset, message: message.into() };
        assert_eq!(wrong, [expected], "{text:?}");
    }

    #[test]
    fn what_a_server_refuses_is_found() {
        check_wrong("", 0, "the manifest names no file");
        check_wrong("file a seq 1 type i", 0, "the manifest's last line is cut");
        check_wrong(
            "file a seq 1 type x\n",
            0,
            r#""file a seq 1 type x" is no line of a manifest"#,
        );
        check_wrong(
            "file a seq 0 type i\n",
            0,
            r#""file a seq 0 type i" is no line of a manifest"#,
        );
        check_wrong("file a seq 1\n", 0, r#""file a seq 1" is no line of a manifest"#);
        check_wrong("file ../a seq 1 type i\n", 0, r#""../a" is a path, not the name of a file"#);
        check_wrong(
            "file a seq 2 type i\nfile b seq 2 type i\n",
            20,
            "increment 2 does not come behind the one before it",
        );
        check_wrong(
            "file a seq 2 type b\nfile b seq 3 type b\n",
            20,
            "the manifest names a second base",
        );
        check_wrong(
            "file a seq 2 type i\nfile a seq 3 type i\n",
            20,
            r#"the manifest names "a" twice"#,
        );
    }
}
