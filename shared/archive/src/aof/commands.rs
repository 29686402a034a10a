//! Commands in order, and the transactions that they make.

use std::io::BufRead;

use super::{Tail, named};
use crate::{
    input::{Input, Stop},
    report::Findings,
    text::shown,
};

/// Longest line of a count, a length or an annotation; `AOF_ANNOTATION_LINE_MAX_LEN` of `aof.c`.
const LINE: usize = 1024;
/// Bytes of a command's name and first argument that are held and shown.
const SHOWN: usize = 64;

/// How the commands ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// With the bytes, behind a command and outside a transaction.
    Whole,
    /// Within a command or a transaction.
    Incomplete(Tail),
    /// At something that is no command.
    Broken { at: u64, message: String, item: Option<String> },
}

/// Why a command could not be read.
enum Fault {
    Stop(Stop),
    Broken { at: u64, message: String },
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Stop(error.into())
    }
}

/// Reads commands to the end of the input.
#[derive(Debug)]
pub(super) struct Commands<'i, 'a> {
    input: &'i mut Input<'a>,
    name: Vec<u8>,
    key: Vec<u8>,
    line: Vec<u8>,
    count: u64,
    stamp: Option<u64>,
    /// Where the open transaction began.
    transaction: Option<u64>,
}

impl<'i, 'a> Commands<'i, 'a> {
    pub(super) fn new(input: &'i mut Input<'a>) -> Self {
        Self {
            input,
            name: Vec::new(),
            key: Vec::new(),
            line: Vec::new(),
            count: 0,
            stamp: None,
            transaction: None,
        }
    }

    /// Commands that were read whole, those that open and close transactions included.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The last annotation's time, in seconds since 1970.
    pub(super) fn last_stamp(&self) -> Option<u64> {
        self.stamp
    }

    pub(super) fn run(&mut self, findings: &mut Findings) -> Result<Ending, Stop> {
        loop {
            let start = self.input.offset();
            if self.input.is_at_end()? {
                return Ok(match self.transaction {
                    None => Ending::Whole,
                    Some(sound_to) => Ending::Incomplete(Tail {
                        at: start,
                        sound_to,
                        what: "the last transaction has no EXEC".into(),
                    }),
                });
            }
            self.name.clear();
            self.key.clear();
            match self.entry() {
                Ok(true) => {
                    self.count += 1;
                    self.track(start, findings);
                }
                Ok(false) => {}
                Err(Fault::Stop(Stop::Cut)) => {
                    let named = if self.name.is_empty() {
                        String::new()
                    } else {
                        format!(" ({})", named(&self.name, &self.key, SHOWN))
                    };
                    return Ok(Ending::Incomplete(Tail {
                        at: self.input.offset(),
                        sound_to: self.transaction.unwrap_or(start),
                        what: format!("the last command{named} is cut"),
                    }));
                }
                Err(Fault::Stop(stop)) => return Err(stop),
                Err(Fault::Broken { at, message }) => {
                    let item = (!self.name.is_empty()).then(|| named(&self.name, &self.key, SHOWN));
                    return Ok(Ending::Broken { at, message, item });
                }
            }
        }
    }

    /// Reads an annotation (false) or a command (true).
    fn entry(&mut self) -> Result<bool, Fault> {
        let at = self.input.offset();
        match self.input.byte()? {
            b'#' => {
                self.annotation(at)?;
                return Ok(false);
            }
            b'*' => {}
            other => {
                let message = format!("no command begins with {}", shown(&[other], 1));
                return Err(Fault::Broken { at, message });
            }
        }
        let arguments = self.number(at)?;
        if arguments == 0 {
            return Err(Fault::Broken { at, message: "a command has no arguments".into() });
        }
        for index in 0..arguments {
            self.argument(index)?;
        }
        Ok(true)
    }

    fn argument(&mut self, index: u64) -> Result<(), Fault> {
        let at = self.input.offset();
        let mark = self.input.byte()?;
        if mark != b'$' {
            let message = format!("{} stands where an argument's length must", shown(&[mark], 1));
            return Err(Fault::Broken { at, message });
        }
        let length = self.number(at)?;
        match index {
            0 => keep(self.input, length, &mut self.name)?,
            1 => keep(self.input, length, &mut self.key)?,
            _ => self.input.skip(length)?,
        }
        let at = self.input.offset();
        if self.input.array()? != *b"\r\n" {
            let message = "an argument does not end where its length says".into();
            return Err(Fault::Broken { at, message });
        }
        if index == 0 && !is_name(&self.name) {
            let message = format!("{} is no command's name", shown(&self.name, SHOWN));
            return Err(Fault::Broken { at, message });
        }
        Ok(())
    }

    /// A number behind its mark, which stands at this offset, to the end of its line.
    fn number(&mut self, at: u64) -> Result<u64, Fault> {
        self.line(at)?;
        let digits = self.line.strip_suffix(b"\r").unwrap_or_default();
        std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| {
                let message = format!("{} is no number of its line", shown(&self.line, 32));
                Fault::Broken { at, message }
            })
    }

    /// The rest of a line without its end.
    fn line(&mut self, at: u64) -> Result<(), Fault> {
        self.line.clear();
        loop {
            let window = self.input.fill_buf()?;
            if window.is_empty() {
                return Err(Stop::Cut.into());
            }
            let end = memchr::memchr(b'\n', window);
            let piece = window.get(..end.unwrap_or(window.len())).unwrap_or_default();
            if self.line.len() + piece.len() > LINE {
                return Err(Fault::Broken { at, message: "a line has no end".into() });
            }
            self.line.extend_from_slice(piece);
            let used = piece.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// A line for people and tools, which the server passes over; `#TS:` has a time.
    fn annotation(&mut self, at: u64) -> Result<(), Fault> {
        self.line(at)?;
        if let Some(stamp) = self.line.strip_prefix(b"TS:") {
            let stamp = stamp.strip_suffix(b"\r").unwrap_or(stamp);
            let seconds = std::str::from_utf8(stamp).ok().and_then(|text| text.parse().ok());
            if seconds.is_none() {
                let message = format!("{} is no timestamp", shown(stamp, 32));
                return Err(Fault::Broken { at, message });
            }
            self.stamp = seconds;
        }
        Ok(())
    }

    /// Follows transactions: the server writes `MULTI` and `EXEC` in pairs and nests none.
    fn track(&mut self, start: u64, findings: &mut Findings) {
        let wrong = if self.name.eq_ignore_ascii_case(b"multi") {
            let nested = self.transaction.replace(start).is_some();
            nested.then_some("MULTI within a transaction")
        } else if self.name.eq_ignore_ascii_case(b"exec") {
            self.transaction.take().is_none().then_some("EXEC without MULTI")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            findings.add(self.input.place_at(start, None), wrong);
        }
    }
}

/// Reads an argument and keeps its beginning: one byte more than is shown, so that a message can say
/// that it is shortened.
fn keep(input: &mut Input<'_>, length: u64, into: &mut Vec<u8>) -> Result<(), Stop> {
    input.pieces(length, |piece| {
        let room = (SHOWN + 1).saturating_sub(into.len()).min(piece.len());
        into.extend_from_slice(piece.get(..room).unwrap_or_default());
    })
}

/// Whether this can name a command: the servers' and modules' names are printable, without spaces.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= SHOWN && name.iter().all(u8::is_ascii_graphic)
}
