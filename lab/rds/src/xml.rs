//! Builds the XML of answers.

use std::fmt::Display;
use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

/// One element: either text or further elements.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    name: String,
    attribute: Option<(&'static str, &'static str)>,
    text: Option<String>,
    children: Vec<Element>,
}

impl Element {
    /// An empty element.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), attribute: None, text: None, children: Vec::new() }
    }

    /// An element that holds text.
    pub(crate) fn leaf(name: &'static str, value: impl Display) -> Self {
        Self { text: Some(value.to_string()), ..Self::new(name) }
    }

    /// The same with an attribute.
    pub(crate) fn attribute(mut self, name: &'static str, value: &'static str) -> Self {
        self.attribute = Some((name, value));
        self
    }

    /// The same with a child that holds `value` as text.
    pub(crate) fn text(self, name: &'static str, value: impl Display) -> Self {
        self.child(Self::leaf(name, value))
    }

    /// The same with a child that holds `value`, if there is one.
    pub(crate) fn maybe(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// The same with a further child.
    pub(crate) fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    /// The same with a child `name` that holds the given elements.
    pub(crate) fn list(
        mut self,
        name: &'static str,
        items: impl IntoIterator<Item = Element>,
    ) -> Self {
        self.children.push(Self { children: items.into_iter().collect(), ..Self::new(name) });
        self
    }

    /// The document with this element as its root.
    ///
    /// # Errors
    /// None in practice: writing to memory cannot fail.
    pub(crate) fn document(&self) -> io::Result<Vec<u8>> {
        let mut writer = Writer::new(Vec::new());
        self.write(&mut writer)?;
        Ok(writer.into_inner())
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
        let mut start = BytesStart::new(self.name.as_str());
        if let Some(attribute) = self.attribute {
            start.push_attribute(attribute);
        }
        writer.write_event(Event::Start(start))?;
        if let Some(text) = &self.text {
            writer.write_event(Event::Text(BytesText::new(text)))?;
        }
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_absent_values_leave_no_element() {
        let element = Element::new("A")
            .attribute("xmlns", "u")
            .text("B", "a<b & c")
            .maybe("C", None::<u8>)
            .list("D", []);
        let text = String::from_utf8(element.document().unwrap()).unwrap();
        assert_eq!(text, r#"<A xmlns="u"><B>a&lt;b &amp; c</B><D></D></A>"#);
    }
}
