//! The lanes below the users' one: detection, steps, DNS, and the axis.

use std::fmt::Write as _;

use super::{
    AXIS, DETECTION, DNS, Drawing, DrillEvidence, FONT, GAP, STEP, StepResult, Timestamp, Vote,
    escape, length, seconds_between, since, step_words, width,
};

impl Drawing {
    /// The probe's rounds, and the time from the disaster to the alarm.
    pub(super) fn detection(&mut self, evidence: &DrillEvidence) {
        let report = &evidence.report;
        self.title("Detection: the probe in the other region");
        let top = self.y;
        let middle = top + 6.0;
        for seen in evidence.observations.iter().filter(|seen| self.scale.window.contains(seen.at))
        {
            let x = self.scale.x(seen.at);
            // Form and colour both tell the votes apart.
            let (class, form, word) = match seen.vote {
                Vote::Up => (
                    "good",
                    format!("M{:.1} {middle:.1}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z", x - 3.0),
                    "up",
                ),
                Vote::Down => {
                    ("bad", format!("M{:.1} {:.1}l7 7m0 -7l-7 7", x - 3.5, middle - 3.5), "down")
                }
                Vote::Unknown => {
                    ("more", format!("M{x:.1} {:.1}l4 4l-4 4l-4 -4z", middle - 4.0), "unknown")
                }
            };
            let said = format!("{}: {word}, {}", since(report.struck_at, seen.at), seen.detail);
            let _ = write!(
                self.shapes,
                r#"<path class="vote {class}" d="{form}"><title>{}</title></path>"#,
                escape(&said)
            );
        }
        if let Some(detected) = report.detected_at {
            let text = format!("detection {}", length(seconds_between(report.struck_at, detected)));
            self.bar("warn", report.struck_at, detected, top + 14.0, &text);
        } else {
            self.text("quiet", "start", 0.0, top + 26.0, "the alarm did not fire");
        }
        self.y += DETECTION + GAP;
    }

    /// A row a step.
    pub(super) fn steps(&mut self, steps: &[StepResult]) {
        for step in steps {
            let end = step.ended_at.unwrap_or(self.scale.window.until);
            let class = if step.failed() { "bad" } else { "accent" };
            self.bar(class, step.started_at, end, self.y, &step_words(step));
            self.y += STEP;
        }
        if steps.is_empty() {
            self.text("quiet", "start", 0.0, self.y + 12.0, "no recovery was started");
            self.y += STEP;
        }
        self.y += GAP;
    }

    /// What DNS answered, each answer until the next.
    pub(super) fn dns(&mut self, evidence: &DrillEvidence) {
        self.title("What DNS answers");
        let window = self.scale.window;
        let ends = evidence.dns.iter().skip(1).map(|next| next.at).chain([window.until]);
        for (place, (answer, end)) in evidence.dns.iter().zip(ends).enumerate() {
            if end <= window.from || answer.at >= window.until {
                continue;
            }
            let (left, right) = (self.scale.x(answer.at), self.scale.x(end));
            let class = if place % 2 == 0 { "zone" } else { "zone other" };
            let (y, wide) = (self.y, (right - left - 1.0).max(1.0));
            self.rect(class, left, y, wide, DNS, &answer.answer);
            // The name alone, where the address does not fit.
            let short = answer.answer.split(" (").next().unwrap_or_default();
            let fits = |text: &&str| width(text, FONT) + 12.0 <= wide;
            if let Some(text) = [answer.answer.as_str(), short].into_iter().find(fits) {
                self.text("in", "start", left + 7.0, y + 16.5, text);
            }
        }
        self.y += DNS + GAP;
    }

    /// A bar with its text where there is room: right of it, else left of it, else at the edge.
    fn bar(&mut self, class: &str, from: Timestamp, until: Timestamp, y: f64, text: &str) {
        let (left, right) = (self.scale.x(from), self.scale.x(until));
        let long = (right - left).max(2.5);
        self.rect(&format!("bar {class}"), left, y, long, 13.0, text);
        let room = width(text, FONT) + 6.0;
        let (anchor, x) = if left + long + room <= self.scale.width {
            ("start", left + long + 6.0)
        } else if left >= room {
            ("end", left - 6.0)
        } else {
            ("start", 0.0)
        };
        self.text("name", anchor, x, y + 10.5, text);
    }

    /// Seconds from the disaster.
    pub(super) fn axis(&mut self, struck: Timestamp) {
        let (y, wide) = (self.y, self.scale.width);
        let _ = write!(
            self.shapes,
            r#"<line class="axis" x1="0" x2="{wide:.1}" y1="{y:.1}" y2="{y:.1}"/>"#
        );
        for (seconds, x) in self.scale.ticks(struck, 58.0) {
            let text = if seconds == 0.0 {
                "0 s".to_owned()
            } else if seconds.fract() == 0.0 {
                format!("{seconds:+.0} s")
            } else {
                format!("{seconds:+.1} s")
            };
            let half = width(&text, FONT) / 2.0;
            let middle = x.clamp(half.min(wide / 2.0), (wide - half).max(wide / 2.0));
            let end = y + 5.0;
            let _ = write!(
                self.shapes,
                r#"<line class="axis" x1="{x:.1}" x2="{x:.1}" y1="{y:.1}" y2="{end:.1}"/>"#
            );
            self.text("tick", "middle", middle, y + 19.0, &text);
        }
        self.y += AXIS;
    }
}
