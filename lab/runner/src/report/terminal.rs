//! The drill on a terminal: a line a step while it happens, and the verdict.

use std::{fmt::Write as _, io::IsTerminal};

use jiff::SignedDuration;

use super::{DrillReport, Verdict};

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// ANSI colours.
    Colour,
    /// Text only.
    Plain,
}

impl Palette {
    /// Colours when a person looks: standard output is a terminal, and `NO_COLOR` is not set
    /// (<https://no-color.org>: any value but an empty one turns colours off).
    #[must_use]
    pub fn detect() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if std::io::stdout().is_terminal() && !refused { Self::Colour } else { Self::Plain }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }
}

/// One line of the drill while it happens: `+12.345 s  PromoteReplica  promoted (0.8 s)`.
/// `since_struck` is negative before the disaster; `took` is left out for what has no length.
#[must_use]
pub fn live_line(
    palette: Palette,
    since_struck: SignedDuration,
    name: &str,
    outcome: &str,
    took: Option<SignedDuration>,
) -> String {
    let elapsed = format!("{:+10.3} s", since_struck.as_secs_f64());
    let mut line = format!("{}  {}", palette.dim(&elapsed), palette.bold(&format!("{name:<18}")));
    let failed = outcome.starts_with("failed");
    let _ = write!(line, "  {}", if failed { palette.bad(outcome) } else { outcome.to_owned() });
    if let Some(took) = took {
        let _ = write!(line, " {}", palette.dim(&format!("({:.1} s)", took.as_secs_f64())));
    }
    line.trim_end().to_owned()
}

/// The result in a table of lines, for the end of a drill.
#[must_use]
pub fn summary(palette: Palette, report: &DrillReport) -> String {
    let mut text = String::new();
    let mut line = |content: String| {
        text.push_str(content.trim_end());
        text.push('\n');
    };
    if report.rto_target_seconds.is_some() || report.rpo_target_seconds.is_some() {
        line(String::new());
        line(format!("  {:<22}{:>12}{:>12}", "", "target", "achieved"));
    }
    for (name, target, achieved) in [
        ("RTO", report.rto_target_seconds, report.achieved_rto_seconds),
        ("RPO", report.rpo_target_seconds, report.achieved_rpo_seconds),
    ] {
        if target.is_none() && achieved.is_none() {
            continue;
        }
        let mark = match (target, achieved) {
            (Some(target), Some(achieved)) if achieved <= target => palette.good("✓"),
            (Some(_), _) => palette.bad("✗"),
            (None, _) => String::new(),
        };
        line(format!("  {name:<22}{:>12}{:>12}  {mark}", words(target), words(achieved)));
    }
    if !report.parts.0.is_empty() {
        line(String::new());
        line(palette.bold("  parts of the RTO"));
        for part in &report.parts.0 {
            line(format!(
                "    {:<20}{:>24}",
                part.name.replace('_', " "),
                words(Some(part.seconds))
            ));
        }
    }
    for backup in backup_lines(palette, report) {
        line(backup);
    }
    line(String::new());
    line(palette.bold("  writes"));
    for (name, count, bad) in [
        ("acknowledged", report.writes_acknowledged, false),
        ("lost", report.writes_lost, false),
        ("after the recovery", report.writes_after_recovery, false),
        ("accepted while stale", report.stale_writes_accepted, report.stale_writes_accepted > 0),
    ] {
        let count = format!("{count:>24}");
        line(format!("    {name:<20}{}", if bad { palette.bad(&count) } else { count }));
    }
    let both = format!("{:>22.3} s", report.dual_writer_seconds);
    let both = if report.dual_writer_seconds > 0.0 { palette.bad(&both) } else { both };
    line(format!("    {:<20}{both}", "by both sites"));
    line(format!(
        "    {:<20}{:>24}",
        "epoch",
        format!("{} → {}", report.epoch_before, report.epoch_after)
    ));
    if !report.invariants.is_empty() {
        line(String::new());
        line(palette.bold("  invariants"));
    }
    for invariant in &report.invariants {
        let mark = if invariant.held { palette.good("✓") } else { palette.bad("✗") };
        line(format!("    {mark} {:<30}  {}", invariant.id, palette.dim(&invariant.evidence)));
    }
    if !report.notifications.is_empty() {
        line(String::new());
        line(palette.bold("  notifications"));
    }
    for told in &report.notifications {
        let mark = if told.delivered { palette.good("✓") } else { palette.bad("✗") };
        line(format!("    {mark} {:<10}{}", told.channel, told.stage));
    }
    line(String::new());
    let verdict = match report.verdict {
        Verdict::Pass => palette.good("PASS"),
        Verdict::Fail => palette.bad("FAIL"),
    };
    line(format!("  {verdict}  {}", report.reason));
    text
}

/// The backups: one line each, and under it what each region has proven.
fn backup_lines(palette: Palette, report: &DrillReport) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.backups.is_empty() {
        lines.push(String::new());
        lines.push(palette.bold("  backups"));
    }
    for backup in &report.backups {
        let mark = if backup.complete { palette.good("✓") } else { palette.bad("✗") };
        let kind = if backup.app == "queue" {
            backup.kind.clone()
        } else {
            format!("{} of {}", backup.kind, backup.app)
        };
        let size = bytes(backup.size_bytes);
        lines.push(format!("    {mark} {kind:<28}{size:>10}  {}", palette.dim(&backup.point)));
        for (region, proven) in &backup.proven {
            lines.push(format!("        {region:<14}{}", palette.dim(proven)));
        }
    }
    lines
}

/// A size in the largest unit that leaves a whole number: `12 MB`, `4.1 kB`.
pub(super) fn bytes(size: u64) -> String {
    match size {
        0 => "-".to_owned(),
        1..1_000 => format!("{size} B"),
        1_000..100_000 => format!("{}.{} kB", size / 1_000, size % 1_000 / 100),
        100_000..1_000_000 => format!("{} kB", size / 1_000),
        1_000_000..100_000_000 => format!("{}.{} MB", size / 1_000_000, size % 1_000_000 / 100_000),
        _ => format!("{} MB", size / 1_000_000),
    }
}

fn words(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.3} s"))
}
