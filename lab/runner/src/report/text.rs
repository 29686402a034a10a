//! Text for a page.

use jiff::Timestamp;

use super::seconds_between;

/// Text as HTML, in an element or in a quoted attribute. What XML cannot hold is replaced.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// `region-outage` as `Region outage`; a name of a machine's state stays as it is.
pub(super) fn title(name: &str) -> String {
    let words = name.replace(['-', '_'], " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| {
        let mut text: String = first.to_uppercase().collect();
        text.push_str(letters.as_str());
        text
    })
}

/// A length for people: milliseconds below a second, else a tenth of a second; minutes from 100 s on.
pub(super) fn length(seconds: f64) -> String {
    let size = seconds.abs();
    if size == 0.0 {
        "0 s".to_owned()
    } else if size < 0.9995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if size < 99.95 {
        format!("{seconds:.1} s")
    } else {
        let minutes = (size / 60.0).floor();
        let sign = if seconds < 0.0 { "-" } else { "" };
        format!("{sign}{minutes:.0} min {:.0} s", (size - minutes * 60.0).floor())
    }
}

/// A target for people: without decimals that say nothing.
pub(super) fn target(seconds: f64) -> String {
    if seconds > 0.0 && seconds % 60.0 == 0.0 {
        format!("{:.0} min", seconds / 60.0)
    } else if seconds.fract() == 0.0 {
        format!("{seconds:.0} s")
    } else {
        length(seconds)
    }
}

/// The time from the disaster on: `+12.3 s`.
pub(super) fn since(struck: Timestamp, at: Timestamp) -> String {
    format!("{:+.1} s", seconds_between(struck, at))
}

/// The width of a text in the page's sans-serif font at `size` pixels. An upper bound for common
/// fonts, so that texts that do not overlap by it do not overlap on the screen.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    f64::from(letters) * size * 0.58
}
