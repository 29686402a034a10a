//! The tables of the page.

use std::collections::BTreeMap;

use crate::report::{
    BackupResult, DrillEvidence, DrillReport, seconds_between,
    terminal::bytes,
    text::{breakable, escape, length, since, title},
};

/// A section with a table; nothing without rows. Cells are HTML already.
fn section(id: &str, name: &str, head: &[(&str, &str)], rows: &[String], after: &str) -> String {
    let table = table(head, rows);
    if table.is_empty() {
        return String::new();
    }
    format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{name}</h2>\n{table}{after}</section>\n"
    )
}

fn table(head: &[(&str, &str)], rows: &[String]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head: String = head
        .iter()
        .map(|(class, name)| format!("<th scope=\"col\" class=\"{class}\">{name}</th>"))
        .collect();
    let rows: String = rows.iter().map(|row| format!("<tr>{row}</tr>\n")).collect();
    format!("<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

fn judged(good: bool, yes: &str, no: &str) -> String {
    if good {
        format!("<td class=\"held ok\">✓ {yes}</td>")
    } else {
        format!("<td class=\"held no\">✗ {no}</td>")
    }
}

/// The steps of the recovery.
pub(super) fn steps(report: &DrillReport) -> String {
    let rows: Vec<String> = report
        .steps
        .iter()
        .map(|step| {
            let took = step.ended_at.map_or_else(
                || "did not end".to_owned(),
                |end| length(seconds_between(step.started_at, end)),
            );
            format!(
                "<th scope=\"row\">{}</th><td class=\"num\">{}</td><td class=\"num\">{took}</td><td{}>{}</td>",
                breakable(&step.name),
                since(report.struck_at, step.started_at),
                if step.failed() { " class=\"no\"" } else { "" },
                escape(&step.outcome),
            )
        })
        .collect();
    table(&[("", "Step"), ("num", "Began"), ("num", "Took"), ("", "Outcome")], &rows)
}

/// All other tables.
pub(super) fn all(evidence: &DrillEvidence) -> String {
    let report = &evidence.report;
    [
        parts(report),
        backups(report),
        invariants(report),
        notifications(report),
        failures(evidence),
        moments(evidence),
    ]
    .concat()
}

fn parts(report: &DrillReport) -> String {
    let longest = report.parts.0.iter().map(|part| part.seconds).fold(0.001, f64::max);
    let rows: Vec<String> = report
        .parts
        .0
        .iter()
        .map(|part| {
            format!(
                "<th scope=\"row\">{}</th><td class=\"num\">{}</td><td class=\"share\"><span style=\"width:{:.1}%\"></span></td>",
                escape(&title(&part.name)),
                length(part.seconds),
                (part.seconds / longest * 100.0).clamp(0.0, 100.0),
            )
        })
        .collect();
    section(
        "parts",
        "Where the time went",
        &[("", "Part of the RTO"), ("num", "Took"), ("share", "")],
        &rows,
        "",
    )
}

fn backups(report: &DrillReport) -> String {
    let rows: Vec<String> = report
        .backups
        .iter()
        .map(|backup| {
            let proven: Vec<String> = backup
                .proven
                .iter()
                .map(|(region, proven)| format!("{}: {}", escape(region), escape(proven)))
                .collect();
            format!(
                "<th scope=\"row\">{}</th><td>{}</td><td class=\"num\">{}</td>{}<td>{}</td>",
                breakable(&backup.kind),
                escape(&backup.app),
                bytes(backup.size_bytes),
                judged(backup.complete, standing(backup), standing(backup)),
                proven.join("<br>"),
            )
        })
        .collect();
    let head = [("", "Backup"), ("", "App"), ("num", "Size"), ("", ""), ("", "In each region")];
    section("backups", "Backups", &head, &rows, "")
}

fn invariants(report: &DrillReport) -> String {
    let rows: Vec<String> = report
        .invariants
        .iter()
        .map(|invariant| {
            format!(
                "{}<th scope=\"row\">{}</th><td>{}</td>",
                judged(invariant.held, "held", "broken"),
                escape(&title(&invariant.id)),
                escape(&invariant.evidence),
            )
        })
        .collect();
    let head = [("", "Result"), ("", "Invariant"), ("", "Evidence")];
    section("invariants", "Invariants", &head, &rows, "")
}

fn notifications(report: &DrillReport) -> String {
    let rows: Vec<String> = report
        .notifications
        .iter()
        .map(|told| {
            format!(
                "{}<th scope=\"row\">{}</th><td>{}</td>",
                judged(told.delivered, "delivered", "missing"),
                escape(&title(&told.stage)),
                escape(&told.channel),
            )
        })
        .collect();
    let head = [("", "Result"), ("", "Message"), ("", "Channel")];
    section("notifications", "Who was told", &head, &rows, "")
}

/// What users got instead of an acknowledgement, most frequent first, and which writes were lost.
fn failures(evidence: &DrillEvidence) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in evidence.writes.iter().filter_map(|write| write.failure.as_deref()) {
        *counts.entry(reason).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let rows: Vec<String> = counts
        .into_iter()
        .map(|(reason, count)| format!("<td>{}</td><td class=\"num\">{count}</td>", escape(reason)))
        .collect();
    let lost = &evidence.report.writes_lost_ids;
    let after = if lost.is_empty() {
        String::new()
    } else {
        let ids: Vec<String> = lost.iter().map(|id| escape(id)).collect();
        format!(
            "<details><summary>The {} lost writes</summary><p><code>{}</code></p></details>\n",
            lost.len(),
            ids.join(" ")
        )
    };
    let head = [("", "What a write got instead of an acknowledgement"), ("num", "Writes")];
    section("failures", "What failed for users", &head, &rows, &after)
}

/// What is known of a backup in a word. Damage is found; that nothing is known is something else.
pub(super) fn standing(backup: &BackupResult) -> &'static str {
    let is_damaged = backup.proven.values().any(|proven| proven.contains("damaged"));
    match (backup.complete, is_damaged) {
        (true, _) => "proven",
        (false, true) => "damaged",
        (false, false) => "not proven",
    }
}

/// The moments as clock times, for whoever reads logs beside the page.
fn moments(evidence: &DrillEvidence) -> String {
    let report = &evidence.report;
    let (zero, since_zero) = if report.is_of_backups() {
        ("the first step began", "Since then")
    } else {
        ("the disaster struck", "Since struck")
    };
    let mut moments: Vec<(jiff::Timestamp, String)> = vec![
        (report.started_at, "the drill began".to_owned()),
        (report.struck_at, zero.to_owned()),
    ];
    let found = if report.is_of_backups() { "the damage was found" } else { "the alarm fired" };
    moments.extend(report.detected_at.map(|at| (at, found.to_owned())));
    moments.extend(report.served_at.map(|at| (at, "users were served again".to_owned())));
    moments
        .extend(evidence.dns.iter().map(|seen| (seen.at, format!("DNS answers {}", seen.answer))));
    moments.extend(evidence.marks.iter().map(|mark| (mark.at, mark.label.clone())));
    moments.sort();
    let rows: Vec<String> = moments
        .iter()
        .map(|(at, what)| {
            format!(
                "<td class=\"num\">{}</td><td class=\"num\">{}</td><td>{}</td>",
                at.strftime("%H:%M:%S%.3f"),
                since(report.struck_at, *at),
                escape(what),
            )
        })
        .collect();
    let head = [("num", "UTC"), ("num", since_zero), ("", "What happened")];
    section("moments", "Moments", &head, &rows, "")
}
