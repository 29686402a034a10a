//! `GET /`: the site at a glance, for a person with a phone.

use crate::health::{Health, Status};
use crate::site::Role;

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn row(name: &str, status: Status, detail: &str) -> String {
    let (class, word) = match status {
        Status::Ok => ("ok", "ok"),
        Status::Degraded => ("warn", "degraded"),
        Status::Down => ("down", "down"),
    };
    format!("<tr><th>{name}</th><td class=\"{class}\">{word}</td><td>{}</td></tr>", escape(detail))
}

/// The page. `summary` is the number of tickets and the highest position, or why they are not known.
pub(crate) fn page(health: &Health, summary: Result<(i64, i64), String>) -> String {
    let site = escape(health.site.as_deref().unwrap_or("unknown"));
    let epoch = health.epoch.map_or_else(|| "unknown".to_owned(), |epoch| epoch.to_string());
    let role = match health.role {
        Some(Role::Active) => "active",
        Some(Role::Standby) => "standby",
        None => "not configured",
    };
    let (tickets, note) = match summary {
        Ok((count, highest)) => {
            (count.to_string(), format!("tickets issued; the last position is {highest}"))
        }
        Err(why) => ("?".to_owned(), format!("tickets: {}", escape(&why))),
    };
    let rows = [
        row("Database", health.checks.database.status, &health.checks.database.detail),
        row("Redis", health.checks.redis.status, &health.checks.redis.detail),
        row("Writes", health.checks.epoch.status, &health.checks.epoch.detail),
    ]
    .concat();
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5"><title>Queue at site {site}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --ok: #14743a; --warn: #8a5a00; --down: #b3261e; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ok: #6fdc9a; --warn: #f2c14e; --down: #ff8a80; }} }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 0 auto; padding: 1.25rem; }}
h1 {{ font-size: 1.25rem; margin: 0; }} .big {{ font-size: 3.5rem; line-height: 1.1; font-variant-numeric: tabular-nums; margin: 1rem 0 0; }}
table {{ border-collapse: collapse; width: 100%; margin: 1.5rem 0; }}
th, td {{ text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); }}
th, td[class] {{ white-space: nowrap; }} td:last-child {{ overflow-wrap: anywhere; }}
.ok {{ color: var(--ok); }} .warn {{ color: var(--warn); }} .down {{ color: var(--down); }} td[class] {{ font-weight: 600; }}
button {{ font: inherit; padding: .6rem 1.2rem; border: 1px solid var(--line); border-radius: .5rem; cursor: pointer; }}
</style></head><body>
<h1>Queue at site {site}</h1><p>{role}, epoch {epoch}</p>
<p class="big">{tickets}</p><p>{note}</p>
<p><button id="take">Take a ticket</button> <output id="answer"></output></p>
<table>{rows}</table>
<script>
document.getElementById('take').onclick = async () => {{
  const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), b => b.toString(16).padStart(2, '0')).join('');
  const answer = await fetch('/tickets', {{ method: 'POST', body: JSON.stringify({{ id }}) }});
  const body = await answer.json();
  document.getElementById('answer').textContent = answer.ok ? 'You are number ' + body.position : body.error + ': ' + body.detail;
}};
</script></body></html>
"#
    )
}
