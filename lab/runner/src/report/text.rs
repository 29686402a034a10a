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

/// Names that are read letter by letter.
const ABBREVIATIONS: [&str; 6] = ["aws", "dns", "rpo", "rto", "s3", "sns"];

/// `region-outage` as `Region outage`, and `dns_switch` as `DNS switch`.
pub(super) fn title(name: &str) -> String {
    let words: Vec<String> = name
        .split(['-', '_', ' '])
        .map(|word| {
            let is_known = ABBREVIATIONS.contains(&word);
            if is_known { word.to_uppercase() } else { word.to_owned() }
        })
        .collect();
    let text = words.join(" ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
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
    if seconds >= 120.0 && seconds % 60.0 == 0.0 {
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

/// The width of a text in the page's sans-serif font at `size` pixels: an upper bound for such
/// texts in the widest common font (DejaVu Sans), so that what does not overlap by it does not
/// overlap on any screen.
pub(super) fn width(text: &str, size: f64) -> f64 {
    letters(text) * size * 0.6
}

/// The same for semibold text, which some systems draw bold.
pub(super) fn bold_width(text: &str, size: f64) -> f64 {
    letters(text) * size * 0.67
}

fn letters(text: &str) -> f64 {
    u32::try_from(text.chars().count()).map_or(0.0, f64::from)
}

/// A state's name as HTML that may be broken between its words.
pub(super) fn breakable(name: &str) -> String {
    let mut text = String::new();
    let mut last = ' ';
    for c in name.chars() {
        if last.is_lowercase() && c.is_uppercase() {
            text.push_str("<wbr>");
        }
        text.push_str(&escape(c.encode_utf8(&mut [0; 4])));
        last = c;
    }
    text
}
