//! The report as one page that needs nothing else: no script, no font, no request.
//!
//! Every text that comes from the drill goes through [`escape`].

mod tables;

use super::{
    DrillEvidence, DrillReport, Verdict,
    text::{escape, length, target, title},
    timeline,
};

const STYLE: &str = include_str!("page/style.css");
/// The drawing on a screen or on paper: as wide as the text column.
const WIDE: f64 = 940.0;
/// The drawing on a phone of 360 points: its own one, so that its letters keep their size.
const NARROW: f64 = 316.0;

/// The page.
pub(super) fn page(evidence: &DrillEvidence) -> String {
    let report = &evidence.report;
    let headline = headline(report);
    let scenario = escape(&title(&report.scenario));
    let verdict = report.verdict.as_str();
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{scenario} drill: {verdict}</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<header>
<div class="over"><span><b>Lifeboat</b> drill: {scenario}</span><time datetime="{started:.3}">{day}</time></div>
<h1>{headline}</h1>
<p class="lead"><span class="verdict {verdict}">{verdict}</span> {reason}</p>
</header>
{cards}{facts}<section aria-labelledby="timeline">
<h2 id="timeline">Timeline</h2>
{wide}
{narrow}
<p class="note">{note}</p>
</section>
{steps}{tables}<section aria-labelledby="again">
<h2 id="again">Run it again</h2>
<pre>{command}</pre>
</section>
<footer>Measured by a client that finds the app by DNS name and keeps every acknowledgement. The same numbers for programs: <code>{file}.json</code>, beside this page.</footer>
</main>
</body>
</html>
"#,
        started = report.started_at,
        day = report.started_at.strftime("%-d %B %Y, %H:%M UTC"),
        reason = escape(&report.reason),
        cards = cards(report),
        facts = facts(report),
        note = if report.is_of_backups() { NOTE_OF_BACKUPS } else { NOTE },
        wide = timeline::timeline(evidence, WIDE, "wide"),
        narrow = timeline::timeline(evidence, NARROW, "narrow"),
        steps = steps(evidence),
        tables = tables::all(evidence),
        command = escape(&evidence.command),
        file = escape(&report.scenario),
    )
}

/// Below the timeline.
const NOTE: &str = "Seconds count from the disaster. A column is as high as the share of the client’s \
     writes that were acknowledged. The probe’s votes: <span>○ up</span>, <span>× down</span>, \
     <span>◇ unknown</span>.";
const NOTE_OF_BACKUPS: &str = "Seconds count from the first step. A column is as high as the share of \
     the client’s writes that were acknowledged: backups must not disturb them.";

/// What happened, in a sentence.
fn headline(report: &DrillReport) -> String {
    match (report.verdict, report.achieved_rto_seconds, report.rto_target_seconds) {
        (Verdict::Pass, Some(rto), _) => {
            format!("Users were served again after {}", length(rto))
        }
        (Verdict::Fail, Some(rto), _) => {
            format!("Users were served again after {}, and the drill failed", length(rto))
        }
        (Verdict::Fail, None, Some(_)) => "Users were not served again".to_owned(),
        (Verdict::Pass, None, _) if report.is_of_backups() => of_backups(report),
        (Verdict::Pass, None, _) => {
            format!("{}: as it should be", escape(&title(&report.scenario)))
        }
        (Verdict::Fail, None, None) => {
            format!("{}: the drill failed", escape(&title(&report.scenario)))
        }
    }
}

/// How many backups are what.
fn of_backups(report: &DrillReport) -> String {
    let of = |standing: &str| {
        let count = report.backups.iter().filter(|b| tables::standing(b) == standing).count();
        match count {
            0 => None,
            1 => Some(format!("1 is {standing}")),
            count => Some(format!("{count} are {standing}")),
        }
    };
    let told: Vec<String> =
        ["damaged", "not proven", "proven"].into_iter().filter_map(of).collect();
    let told = told.join(", ");
    match told.split_once(' ') {
        Some(("1", rest)) => format!("1 backup {rest}"),
        Some((count, rest)) => format!("{count} backups {rest}"),
        None => told,
    }
}

/// RTO and RPO, each target against what was achieved.
fn cards(report: &DrillReport) -> String {
    let lost = match report.writes_lost {
        0 => "no acknowledged write lost".to_owned(),
        1 => "1 acknowledged write lost".to_owned(),
        lost => format!("{lost} acknowledged writes lost"),
    };
    let cards: String = [
        (
            "Recovery time (RTO)",
            report.rto_target_seconds,
            report.achieved_rto_seconds,
            "first failed write to lasting success".to_owned(),
        ),
        ("Data loss (RPO)", report.rpo_target_seconds, report.achieved_rpo_seconds, lost),
    ]
    .into_iter()
    .filter_map(|(name, target, achieved, note)| Some(card(name, target?, achieved, &note)))
    .collect();
    if cards.is_empty() { cards } else { format!("<div class=\"cards\">{cards}</div>\n") }
}

fn card(name: &str, wanted: f64, achieved: Option<f64>, note: &str) -> String {
    let met = achieved.is_some_and(|achieved| achieved <= wanted);
    // The longer of the two fills the bar; the target's tick shows where it ends.
    let whole = achieved.unwrap_or(0.0).max(wanted).max(0.001);
    let filled = achieved.unwrap_or(whole) / whole * 100.0;
    let tick = wanted / whole * 100.0;
    let shown = achieved.map_or_else(|| "not reached".to_owned(), length);
    let (class, mark) = if met {
        ("meter", "<span class=\"ok\">✓ met</span>")
    } else {
        ("meter over-target", "<span class=\"no\">✗ missed</span>")
    };
    // A target that was met is where the bar ends.
    let tick = if met { String::new() } else { format!("<b style=\"left:{tick:.1}%\"></b>") };
    format!(
        r#"<div><h2>{name}</h2><p class="big">{shown} <small>{mark}</small></p><div class="{class}" aria-hidden="true"><i style="width:{filled:.1}%"></i>{tick}</div><p class="under"><span>{note}</span><span>target {wanted}</span></p></div>"#,
        wanted = target(wanted),
        note = escape(note),
    )
}

fn facts(report: &DrillReport) -> String {
    let items = [
        ("Writes acknowledged", report.writes_acknowledged.to_string()),
        ("of them lost", report.writes_lost.to_string()),
        ("after the recovery", report.writes_after_recovery.to_string()),
        ("accepted by a stale site", report.stale_writes_accepted.to_string()),
        ("both sites wrote", format!("{:.1} s", report.dual_writer_seconds)),
        ("Epoch", format!("{} → {}", report.epoch_before, report.epoch_after)),
    ];
    let shown = if report.is_of_backups() { 2 } else { items.len() };
    let items: String = items
        .iter()
        .take(shown)
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>"))
        .collect();
    format!("<dl class=\"facts\">{items}</dl>\n")
}

fn steps(evidence: &DrillEvidence) -> String {
    let drawings = timeline::recovery(evidence, WIDE, "wide-steps").zip(timeline::recovery(
        evidence,
        NARROW,
        "narrow-steps",
    ));
    let drawing = drawings.map_or_else(String::new, |(wide, narrow)| format!("{wide}\n{narrow}\n"));
    let table = tables::steps(&evidence.report);
    if table.is_empty() {
        return String::new();
    }
    let heading = if evidence.report.is_of_backups() { "The steps" } else { "The recovery" };
    format!(
        "<section aria-labelledby=\"steps\">\n<h2 id=\"steps\">{heading}</h2>\n{drawing}<div class=\"below\">{table}</div></section>\n"
    )
}
