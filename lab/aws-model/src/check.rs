//! What is asked of a value, and where in the call the value is.

use std::mem::discriminant;

use crate::documented::{self, Documented, Measure};
use crate::model::{Kind, Model, Shape, ShapeId, Structure};
use crate::open_enums;
use crate::violation::{Bound, Rule, Violation};

/// How much of a value is shown.
const SHOWN: usize = 120;

/// A step on the way to a value.
#[derive(Clone, Debug)]
enum Step {
    Member(String),
    Item(usize),
    Key(String),
}

/// Goes through one request or answer, and keeps what does not fit.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    pub(crate) model: &'a Model,
    service: &'a str,
    operation: &'a str,
    /// Whether lengths, ranges and patterns are held. AWS holds requests to them and not its own
    /// answers: in the example of `GetCommandInvocation`, `CloudWatchLogGroupName` is empty where the
    /// model wants a character, and so are the times of a command that has not begun.
    bounded: bool,
    /// What the API reference bounds beside the model.
    documented: Vec<&'static Documented>,
    path: Vec<Step>,
    found: Vec<Violation>,
}

impl<'a> Checker<'a> {
    pub(crate) fn request(model: &'a Model, service: &'a str, operation: &'a str) -> Self {
        let (path, found) = (Vec::new(), Vec::new());
        let documented = documented::of(service, operation);
        Self { model, service, operation, bounded: true, documented, path, found }
    }

    pub(crate) fn answer(model: &'a Model, service: &'a str, operation: &'a str) -> Self {
        let documented = Vec::new();
        Self { bounded: false, documented, ..Self::request(model, service, operation) }
    }

    pub(crate) fn finish(self) -> Vec<Violation> {
        self.found
    }

    /// Runs `check` at a member.
    pub(crate) fn at(&mut self, member: &str, check: impl FnOnce(&mut Self)) {
        self.within(Step::Member(member.to_owned()), check);
    }

    /// Runs `check` at a list's item.
    pub(crate) fn at_item(&mut self, index: usize, check: impl FnOnce(&mut Self)) {
        self.within(Step::Item(index), check);
    }

    /// Runs `check` at a map's value.
    pub(crate) fn at_key(&mut self, key: &str, check: impl FnOnce(&mut Self)) {
        self.within(Step::Key(key.to_owned()), check);
    }

    fn within(&mut self, step: Step, check: impl FnOnce(&mut Self)) {
        self.path.push(step);
        check(self);
        self.path.pop();
    }

    /// Keeps a violation of where the checker is.
    pub(crate) fn report(&mut self, rule: Rule) {
        let member = self.place();
        let (service, operation) = (self.service.to_owned(), self.operation.to_owned());
        self.found.push(Violation { service, operation, member, rule });
    }

    /// Where the checker is.
    fn place(&self) -> String {
        let mut member = String::new();
        for step in &self.path {
            match step {
                Step::Member(name) if member.is_empty() => member.push_str(name),
                Step::Member(name) => {
                    member.push('.');
                    member.push_str(name);
                }
                Step::Item(index) => member.push_str(&format!("[{index}]")),
                Step::Key(key) => member.push_str(&format!("[\"{}\"]", cut(key))),
            }
        }
        member
    }

    /// Holds a measure against what the API reference says of this member.
    fn documented(&mut self, wanted: Measure, found: f64) {
        if self.documented.is_empty() {
            return;
        }
        let place = self.place();
        let here = |known: &&&Documented| {
            known.member == place && discriminant(&known.measure) == discriminant(&wanted)
        };
        let bound = self.documented.iter().find(here).and_then(|known| known.broken(found));
        match (bound, wanted) {
            (None, _) => {}
            (Some(bound), Measure::Value) => {
                self.report(Rule::Range { found: found.to_string(), bound });
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a length, made of a usize"
            )]
            (Some(bound), Measure::Bytes | Measure::Items) => {
                self.report(Rule::Length { found: found as u64, bound });
            }
        }
    }

    pub(crate) fn wrong_type(&mut self, expected: &'static str, found: &str) {
        self.report(Rule::Type { expected, found: cut(found) });
    }

    /// The shape, or a violation when the model lacks it.
    pub(crate) fn shape(&mut self, id: ShapeId) -> Option<&'a Shape> {
        let shape = self.model.shape(id);
        if shape.is_none() {
            self.report(Rule::NotCovered("the model lacks the member's shape".to_owned()));
        }
        shape
    }

    /// A text: enumeration, length in characters, pattern.
    pub(crate) fn text(&mut self, shape: &Shape, text: &str) {
        if !shape.values.is_empty()
            && !shape.values.iter().any(|value| value == text)
            && !open_enums::takes(self.service, &shape.name, text)
        {
            self.report(Rule::Enum { found: cut(text), allowed: shape.values.clone() });
        }
        if shape.min.is_some() || shape.max.is_some() {
            self.length(shape, text.chars().count());
        }
        #[expect(clippy::cast_precision_loss, reason = "no length comes near 2^53")]
        self.documented(Measure::Bytes, text.len() as f64);
        if let Some(pattern) = shape.pattern.as_ref().filter(|_| self.bounded) {
            match pattern.matches(text) {
                Ok(true) => {}
                Ok(false) => {
                    let pattern = pattern.text.clone();
                    self.report(Rule::Pattern { found: cut(text), pattern });
                }
                Err(error) => {
                    let error = error.lines().last().unwrap_or_default().to_owned();
                    let why = format!("the pattern of {} cannot be used: {error}", shape.name);
                    self.report(Rule::NotCovered(why));
                }
            }
        }
    }

    /// The length of a text, a blob, a list or a map.
    pub(crate) fn length(&mut self, shape: &Shape, length: usize) {
        let found = u64::try_from(length).unwrap_or(u64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "no length comes near 2^53")]
        let bound = broken(shape, found as f64);
        if let Some(bound) = bound.filter(|_| self.bounded) {
            self.report(Rule::Length { found, bound });
        }
    }

    /// The items of a list.
    pub(crate) fn items(&mut self, shape: &Shape, count: usize) {
        self.length(shape, count);
        #[expect(clippy::cast_precision_loss, reason = "no length comes near 2^53")]
        self.documented(Measure::Items, count as f64);
    }

    /// A whole number: that of its type, and its range.
    pub(crate) fn integer(&mut self, shape: &Shape, number: i64) {
        if let Kind::Integer { least, most } = shape.kind
            && !(least..=most).contains(&number)
        {
            self.wrong_type("integer", &number.to_string());
        }
        #[expect(clippy::cast_precision_loss, reason = "models have no range beyond 2^53")]
        self.number(shape, number as f64);
    }

    /// The range of a number.
    pub(crate) fn number(&mut self, shape: &Shape, number: f64) {
        if let Some(bound) = broken(shape, number).filter(|_| self.bounded) {
            self.report(Rule::Range { found: number.to_string(), bound });
        }
        self.documented(Measure::Value, number);
    }

    /// The required members of a structure, and that a union has one.
    pub(crate) fn complete(&mut self, structure: &Structure, present: &[&str]) {
        for name in &structure.required {
            if !present.contains(&name.as_str()) {
                self.at(name, |check| check.report(Rule::Missing));
            }
        }
        if structure.union && present.len() != 1 {
            self.report(Rule::Union);
        }
    }
}

fn broken(shape: &Shape, found: f64) -> Option<Bound> {
    let below = shape.min.filter(|least| found < *least).map(Bound::Least);
    below.or_else(|| shape.max.filter(|most| found > *most).map(Bound::Most))
}

/// A value short enough for a line.
pub(crate) fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
