//! The query protocol's forms: `Filters.Filter.1.Name=engine`.

use std::collections::BTreeMap;

use crate::check::{Checker, cut};
use crate::model::{Kind, ShapeId, Structure, TimeFormat};
use crate::scalar;
use crate::violation::Rule;

/// A form by the parts of its names.
#[derive(Debug, Default)]
pub(crate) struct Form {
    value: Option<String>,
    parts: BTreeMap<String, Form>,
}

impl Form {
    /// Reads a form, without the protocol's own fields.
    pub(crate) fn read(body: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            // A presigned call has its signature beside its fields.
            if matches!(name.as_ref(), "Action" | "Version") || name.starts_with("X-Amz-") {
                continue;
            }
            form.part(&name).value = Some(value.into_owned());
        }
        form
    }

    fn part(&mut self, name: &str) -> &mut Self {
        let (first, rest) = match name.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (name, None),
        };
        let part = self.parts.entry(first.to_owned()).or_default();
        match rest {
            Some(rest) => part.part(rest),
            None => part,
        }
    }

    /// A list or map that was sent empty, as `Tags=`.
    fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.value.as_deref().is_none_or(str::is_empty)
    }
}

/// Checks the fields of a structure.
pub(crate) fn structure(checker: &mut Checker<'_>, structure: &Structure, form: &Form) {
    let mut present = Vec::new();
    for (name, part) in &form.parts {
        match structure.members.iter().find(|member| member.wire_name() == name.as_str()) {
            None => checker.at(name, |check| check.report(Rule::UnknownMember)),
            Some(member) => {
                present.push(member.name.as_str());
                checker.at(&member.name, |check| walk(check, member.shape, part));
            }
        }
    }
    checker.complete(structure, &present);
}

fn walk(checker: &mut Checker<'_>, id: ShapeId, form: &Form) {
    let Some(shape) = checker.shape(id) else { return };
    match &shape.kind {
        Kind::Structure(_) | Kind::List(_) | Kind::Map { .. }
            if form.value.as_deref().is_some_and(|value| !value.is_empty()) =>
        {
            let value = form.value.as_deref().unwrap_or_default();
            checker.wrong_type(crate::tree::name_of(&shape.kind), value);
        }
        Kind::Structure(inner) => structure(checker, inner, form),
        Kind::List(item) => {
            let items = numbered(
                checker,
                form,
                (!shape.flattened).then(|| item.location_name.as_deref().unwrap_or("member")),
            );
            checker.items(shape, items.len());
            for (index, part) in items.into_iter().enumerate() {
                checker.at_item(index, |check| walk(check, item.shape, part));
            }
        }
        Kind::Map { key, value } => {
            let entries = numbered(checker, form, (!shape.flattened).then_some("entry"));
            checker.length(shape, entries.len());
            let (key_name, value_name) = (
                key.location_name.as_deref().unwrap_or("key"),
                value.location_name.as_deref().unwrap_or("value"),
            );
            for entry in entries {
                let find = |name: &str| entry.parts.get(name);
                let Some(name) = find(key_name).and_then(|part| part.value.as_deref()) else {
                    checker.report(Rule::Malformed(format!("an entry without its {key_name}")));
                    continue;
                };
                checker.at_key(name, |check| {
                    if let Some(shape) = check.shape(key.shape) {
                        check.text(shape, name);
                    }
                    match find(value_name) {
                        Some(part) => walk(check, value.shape, part),
                        None => check
                            .report(Rule::Malformed(format!("an entry without its {value_name}"))),
                    }
                });
            }
        }
        kind => match &form.value {
            Some(text) if form.parts.is_empty() => {
                scalar::check(checker, shape, text, TimeFormat::Iso8601);
            }
            Some(_) | None => checker.wrong_type(crate::tree::name_of(kind), "a structure"),
        },
    }
}

/// The items of a list or map, in the order of their numbers. They are below `inner`, or in the form
/// itself when the list is flattened.
fn numbered<'f>(checker: &mut Checker<'_>, form: &'f Form, inner: Option<&str>) -> Vec<&'f Form> {
    if form.is_empty() {
        return Vec::new();
    }
    let mut items = Vec::new();
    let mut take = |checker: &mut Checker<'_>, form: &'f Form| {
        for (number, part) in &form.parts {
            match number.parse::<u32>() {
                Ok(number @ 1..) => items.push((number, part)),
                Ok(_) | Err(_) => checker
                    .report(Rule::Malformed(format!("{} is no number of an item", cut(number)))),
            }
        }
    };
    match inner {
        None => take(checker, form),
        Some(inner) => {
            for (name, part) in &form.parts {
                if name == inner {
                    take(checker, part);
                } else {
                    checker.report(Rule::Malformed(format!(
                        "items are {inner}.1 and so on, not {}",
                        cut(name)
                    )));
                }
            }
        }
    }
    items.sort_by_key(|(number, _)| *number);
    items.into_iter().map(|(_, part)| part).collect()
}
