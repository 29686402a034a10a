//! The timeline as SVG: what users saw, how it was detected, each step, and what DNS answered.

use std::fmt::Write as _;

use jiff::Timestamp;
use lifeboat_core::vote::Vote;

use super::{
    DrillEvidence, StepResult,
    labels::{Label, place_labels},
    layout::{BUCKET, Scale, Window, buckets, recovery_window},
    seconds_between,
    text::{bold_width, escape, length, since, width},
};

const FONT: f64 = 12.0;
const LABEL_ROW: f64 = 19.0;
const TITLE: f64 = 22.0;
const USERS: f64 = 44.0;
const DETECTION: f64 = 30.0;
const STEP: f64 = 19.0;
const DNS: f64 = 24.0;
const GAP: f64 = 12.0;
const AXIS: f64 = 26.0;

mod lanes;

/// A drawing that grows downwards.
struct Drawing {
    shapes: String,
    /// Drawn over everything else.
    texts: String,
    y: f64,
    scale: Scale,
}

/// The whole drill. `id` makes the ids of its title and description unique within the page.
pub(super) fn timeline(evidence: &DrillEvidence, width: f64, id: &str) -> String {
    let window = Window::of(evidence);
    let mut drawing = Drawing::new(window, width);
    let marks = marks(evidence, window);
    let lines_from = drawing.labels(&marks);
    drawing.users(evidence);
    if evidence.report.is_of_backups() {
        drawing.title("Step by step");
    } else {
        drawing.detection(evidence);
        drawing.title("Recovery, step by step");
    }
    drawing.steps(&evidence.report.steps);
    // Below what DNS answers, so that no line crosses its texts.
    let bottom = drawing.y + TITLE + DNS + GAP;
    for (mark, from) in marks.iter().zip(&lines_from) {
        let x = drawing.scale.x(mark.at);
        let _ = write!(
            drawing.shapes,
            r#"<line class="mark {}" x1="{x:.1}" x2="{x:.1}" y1="{from:.1}" y2="{bottom:.1}"/>"#,
            mark.class
        );
    }
    drawing.dns(evidence);
    drawing.axis(evidence.report.struck_at);
    drawing.finish(id, "Timeline of the drill", &described(evidence))
}

/// The recovery alone, at a larger scale. None when there were no steps.
pub(super) fn recovery(evidence: &DrillEvidence, width: f64, id: &str) -> Option<String> {
    let mut drawing = Drawing::new(recovery_window(&evidence.report)?, width);
    drawing.steps(&evidence.report.steps);
    drawing.axis(evidence.report.struck_at);
    let steps: Vec<String> = evidence.report.steps.iter().map(step_words).collect();
    Some(drawing.finish(id, "The steps of the recovery", &steps.join("; ")))
}

/// A vertical line with a label.
struct Line {
    at: Timestamp,
    text: String,
    class: &'static str,
}

fn marks(evidence: &DrillEvidence, window: Window) -> Vec<Line> {
    let report = &evidence.report;
    let moved =
        evidence.dns.iter().skip(1).map(|answer| answer.at).find(|at| *at > report.struck_at);
    let struck = (!report.is_of_backups()).then_some(report.struck_at);
    let fixed = [
        (struck, "struck", "bad"),
        (report.detected_at, "detected", "warn"),
        (moved, "DNS moved", "accent"),
        (report.served_at, "served again", "good"),
    ];
    let named = fixed.into_iter().filter_map(|(at, name, class)| at.map(|at| (at, name, class)));
    let further = evidence.marks.iter().map(|mark| (mark.at, mark.label.as_str(), "more"));
    let mut lines: Vec<Line> = named
        .chain(further)
        .filter(|(at, _, _)| window.contains(*at))
        .map(|(at, name, class)| {
            let text = if at == report.struck_at {
                name.to_owned()
            } else {
                format!("{name} {}", since(report.struck_at, at))
            };
            Line { at, text, class }
        })
        .collect();
    lines.sort_by_key(|line| line.at);
    lines
}

fn described(evidence: &DrillEvidence) -> String {
    let report = &evidence.report;
    let from = if report.is_of_backups() { "first step" } else { "disaster" };
    let mut text = format!("Seconds count from the {from}.");
    if let Some(at) = report.detected_at {
        let _ = write!(text, " Detected at {}.", since(report.struck_at, at));
    }
    for step in &report.steps {
        let _ = write!(text, " {}.", step_words(step));
    }
    for answer in &evidence.dns {
        let _ = write!(text, " DNS at {}: {}.", since(report.struck_at, answer.at), answer.answer);
    }
    match report.served_at {
        Some(at) => {
            let _ = write!(text, " Users were served again at {}.", since(report.struck_at, at));
        }
        None if report.is_of_backups() => {}
        None => text.push_str(" There was no return of service to be seen."),
    }
    text
}

fn step_words(step: &StepResult) -> String {
    match step.ended_at {
        Some(end) => {
            format!("{} {}", step.name, length(seconds_between(step.started_at, end)))
        }
        None => format!("{} did not end", step.name),
    }
}

impl Drawing {
    fn new(window: Window, width: f64) -> Self {
        let scale = Scale { window, width };
        Self { shapes: String::new(), texts: String::new(), y: 4.0, scale }
    }

    fn finish(self, id: &str, title: &str, desc: &str) -> String {
        format!(
            r#"<svg class="{id}" viewBox="0 0 {:.0} {:.0}" role="img" aria-labelledby="{id}-t {id}-d"><title id="{id}-t">{}</title><desc id="{id}-d">{}</desc>{}{}</svg>"#,
            self.scale.width,
            self.y,
            escape(title),
            escape(desc),
            self.shapes,
            self.texts,
        )
    }

    fn text(&mut self, class: &str, anchor: &str, x: f64, y: f64, text: &str) {
        let _ = write!(
            self.texts,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            escape(text)
        );
    }

    /// Draws the labels of the marks, and returns where each mark's line begins.
    fn labels(&mut self, marks: &[Line]) -> Vec<f64> {
        let labels: Vec<Label> = marks
            .iter()
            .map(|mark| Label {
                x: self.scale.x(mark.at),
                width: bold_width(&mark.text, FONT) + 10.0,
            })
            .collect();
        let placed = place_labels(&labels, self.scale.width);
        let first = self.y;
        let mut lines_from = Vec::new();
        for ((mark, label), place) in marks.iter().zip(&labels).zip(&placed) {
            let top = first + f64::from(place.row) * LABEL_ROW;
            lines_from.push(top + 2.0);
            let class = format!("label {}", mark.class);
            // A text left of its line ends there, however wide it really is.
            let end = place.left + label.width;
            let (anchor, x) = if place.left < label.x && end <= label.x + 0.01 {
                ("end", end - 5.0)
            } else {
                ("start", place.left + 5.0)
            };
            self.text(&class, anchor, x, top + 13.0, &mark.text);
        }
        let rows = placed.iter().map(|place| place.row + 1).max().unwrap_or(0);
        self.y += f64::from(rows) * LABEL_ROW + 2.0;
        lines_from
    }

    fn title(&mut self, text: &str) {
        self.text("lane", "start", 0.0, self.y + 14.0, text);
        self.y += TITLE;
    }

    fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64, title: &str) {
        let _ = write!(
            self.shapes,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="1.5"><title>{}</title></rect>"#,
            escape(title)
        );
    }

    /// Each piece of time as a column: as high as the share of writes that were acknowledged.
    fn users(&mut self, evidence: &DrillEvidence) {
        self.title("What users saw: writes acknowledged");
        let window = self.scale.window;
        let top = self.y;
        self.rect(
            "track",
            0.0,
            top,
            self.scale.width,
            USERS,
            "time without a column: nothing was sent",
        );
        let mut run: Option<(Timestamp, Timestamp, f64, u32)> = None;
        let mut runs = Vec::new();
        for bucket in buckets(&evidence.writes, window.from, window.until) {
            if bucket.sent == 0 {
                runs.extend(run.take());
                continue;
            }
            let share = f64::from(bucket.acknowledged) / f64::from(bucket.sent);
            let until = bucket.from.checked_add(BUCKET).unwrap_or(bucket.from);
            match &mut run {
                // Neighbours that look the same are one column.
                Some((_, end, height, sent)) if (*height - share).abs() < 1e-9 => {
                    *end = until;
                    *sent += bucket.sent;
                }
                _ => {
                    runs.extend(run.take());
                    run = Some((bucket.from, until, share, bucket.sent));
                }
            }
        }
        runs.extend(run);
        for (from, until, share, sent) in runs {
            let (left, right) = (self.scale.x(from), self.scale.x(until));
            let class = if share > 0.999 {
                "good"
            } else if share > 0.0 {
                "warn"
            } else {
                "bad"
            };
            // No success is a low column and not none, so that it differs from no data.
            let height = (USERS * share).max(7.0);
            let said = format!("{:.0} % of {sent} writes acknowledged", share * 100.0);
            self.rect(class, left, top + USERS - height, right - left, height, &said);
        }
        let report = &evidence.report;
        if let (Some(served), Some(seconds)) = (report.served_at, report.achieved_rto_seconds) {
            let (left, right) = (self.scale.x(report.struck_at), self.scale.x(served));
            let text = format!("no service for {}", length(seconds));
            if bold_width(&text, FONT + 1.0) < right - left {
                self.text("gap", "middle", f64::midpoint(left, right), top + 24.0, &text);
            }
        }
        self.y += USERS + GAP;
    }
}
