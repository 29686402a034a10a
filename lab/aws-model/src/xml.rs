//! XML: requests of the REST services, and answers of those and of the query protocol.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::check::{Checker, cut};
use crate::model::{Kind, Location, Member, ShapeId, Structure, TimeFormat};
use crate::scalar;
use crate::violation::Rule;

/// How deep elements may be nested.
const DEEPEST: usize = 64;

/// An element, without its namespace.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// Reads a document.
    ///
    /// # Errors
    /// Why it is not well formed.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            let closed = match event {
                Event::Start(start) => {
                    if open.len() >= DEEPEST {
                        return Err("nested too deeply".to_owned());
                    }
                    open.push(Self::start(&start)?);
                    continue;
                }
                Event::Empty(start) => Self::start(&start)?,
                Event::End(_) => match open.pop() {
                    Some(element) => element,
                    None => return Err("an end without a beginning".to_owned()),
                },
                Event::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                    continue;
                }
                Event::CData(data) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&data);
                    }
                    continue;
                }
                Event::GeneralRef(reference) => {
                    if let Some(element) = open.last_mut() {
                        let escaped = format!("&{};", &*reference);
                        let text = quick_xml::escape::unescape(&escaped)
                            .map_err(|error| error.to_string())?;
                        element.text.push_str(&text);
                    }
                    continue;
                }
                Event::Eof => return Err("it has no element, or does not end".to_owned()),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => continue,
            };
            match open.last_mut() {
                Some(parent) => parent.children.push(closed),
                None => return Ok(closed),
            }
        }
    }

    fn start(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = attribute.value.into_owned();
            attributes.push((attribute.key.as_ref().to_owned(), value));
        }
        let name = start.local_name().as_ref().to_owned();
        Ok(Self { name, attributes, ..Self::default() })
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text inside, without the space around it.
    pub(crate) fn text(&self) -> &str {
        self.text.trim()
    }
}

/// The element's name of a member: a flattened list has those of its items.
fn element_name<'m>(checker: &Checker<'m>, member: &'m Member) -> &'m str {
    if let Some(shape) = checker.model.shape(member.shape)
        && let Kind::List(item) = &shape.kind
        && (member.flattened || shape.flattened)
        && let Some(name) = &item.location_name
    {
        return name;
    }
    member.wire_name()
}

/// Checks the members of a structure that are in the body, and adds their names to `present`.
pub(crate) fn members<'m>(
    checker: &mut Checker<'m>,
    structure: &'m Structure,
    element: &Element,
    present: &mut Vec<&'m str>,
) {
    for member in structure.members.iter().filter(|member| member.xml_attribute) {
        if element.attributes.iter().any(|(name, _)| name == member.wire_name()) {
            present.push(&member.name);
        }
    }
    // Items of a flattened list are counted, as they come one by one.
    let mut flat: Vec<(&'m Member, Vec<&Element>)> = Vec::new();
    for child in &element.children {
        let found = structure.members.iter().find(|member| {
            member.location == Location::Body
                && !member.xml_attribute
                && element_name(checker, member) == child.name
        });
        let Some(member) = found else {
            checker.at(&child.name, |check| check.report(Rule::UnknownMember));
            continue;
        };
        let shape = checker.model.shape(member.shape);
        let is_flat = member.flattened || shape.is_some_and(|shape| shape.flattened);
        let is_list = shape.is_some_and(|s| matches!(s.kind, Kind::List(_) | Kind::Map { .. }));
        if is_flat && is_list {
            match flat.iter_mut().find(|(known, _)| known.name == member.name) {
                Some((_, items)) => items.push(child),
                None => {
                    present.push(&member.name);
                    flat.push((member, vec![child]));
                }
            }
            continue;
        }
        if present.contains(&member.name.as_str()) {
            checker.at(&member.name, |check| {
                check.report(Rule::Malformed("the element is there twice".to_owned()));
            });
        }
        present.push(&member.name);
        checker.at(&member.name, |check| walk(check, member.shape, child, member.timestamp_format));
    }
    for (member, items) in flat {
        checker.at(&member.name, |check| list(check, member.shape, &items));
    }
}

/// Checks an element of a shape.
pub(crate) fn walk(
    checker: &mut Checker<'_>,
    id: ShapeId,
    element: &Element,
    format: Option<TimeFormat>,
) {
    let Some(shape) = checker.shape(id) else { return };
    match &shape.kind {
        Kind::Structure(structure) => {
            let mut present = Vec::new();
            members(checker, structure, element, &mut present);
            checker.complete(structure, &present);
        }
        Kind::List(item) => {
            let name = item.location_name.as_deref().unwrap_or("member");
            let (items, others): (Vec<&Element>, Vec<&Element>) =
                element.children.iter().partition(|child| child.name == name);
            for other in others {
                checker.at(&other.name, |check| check.report(Rule::UnknownMember));
            }
            list(checker, id, &items);
        }
        Kind::Map { .. } => {
            let entries: Vec<&Element> = element.children.iter().collect();
            list(checker, id, &entries);
        }
        kind => {
            if element.children.is_empty() {
                // A text keeps the space around it, but a model's length is of what was meant.
                let text =
                    if matches!(kind, Kind::String) { &element.text } else { element.text() };
                let format = format.unwrap_or(TimeFormat::Iso8601);
                scalar::check(checker, shape, text, format);
            } else {
                checker.wrong_type(crate::tree::name_of(kind), "a structure");
            }
        }
    }
}

/// Checks the items of a list, or the entries of a map.
fn list(checker: &mut Checker<'_>, id: ShapeId, items: &[&Element]) {
    let Some(shape) = checker.shape(id) else { return };
    checker.items(shape, items.len());
    match &shape.kind {
        Kind::List(item) => {
            for (index, element) in items.iter().enumerate() {
                checker.at_item(index, |check| {
                    walk(check, item.shape, element, item.timestamp_format);
                });
            }
        }
        Kind::Map { key, value } => {
            let (key_name, value_name) = (
                key.location_name.as_deref().unwrap_or("key"),
                value.location_name.as_deref().unwrap_or("value"),
            );
            for entry in items {
                let (Some(name), Some(held)) = (entry.child(key_name), entry.child(value_name))
                else {
                    checker.report(Rule::Malformed(format!(
                        "{} is no entry of {key_name} and {value_name}",
                        cut(&entry.name)
                    )));
                    continue;
                };
                checker.at_key(name.text(), |check| {
                    walk(check, key.shape, name, None);
                    walk(check, value.shape, held, value.timestamp_format);
                });
            }
        }
        _ => {}
    }
}
