//! The message in the format of Slack's incoming webhooks, which other chats take too.

use lifeboat_core::contract::notify::{Request, Stage};
use serde_json::{Value, json};

use crate::message::{Message, has_ended, headline, loss, plan_lines, time};

/// The body of the webhook's POST: one attachment, coloured by stage.
pub(crate) fn payload(request: &Request, message: &Message) -> Value {
    let mut fields = vec![
        field("App", request.app.as_str(), true),
        field("Stage", request.stage.as_str(), true),
        field("Incident", request.incident.as_str(), false),
    ];
    if let Some(plan) = &request.plan {
        if !has_ended(request.stage) {
            fields.push(field("RTO", &escaped(&time(plan)), true));
        }
        fields.push(field("RPO", &escaped(&loss(plan)), true));
    }
    fields.push(field("What happened", &escaped(&request.summary), false));
    for (place, advice) in message.advice.iter().enumerate() {
        let title = if place == 0 { "What to do" } else { "" };
        let command =
            advice.command.as_deref().map(|command| format!("\n```{}```", escaped(command)));
        let value = format!("{}{}", escaped(&advice.text), command.unwrap_or_default());
        fields.push(field(title, &value, false));
    }
    if let (Stage::ApprovalNeeded, Some(plan)) = (request.stage, &request.plan) {
        fields.push(field(
            "The plan",
            &escaped(&plan_lines(plan, request.stage).join("\n")),
            false,
        ));
    }
    json!({
        "text": format!("{} {}: {}", sign(request.stage), request.app, headline(request.stage)),
        "attachments": [{
            "color": color(request.stage),
            "fallback": escaped(&message.subject),
            "fields": fields,
            "footer": format!("lifeboat {}", message.id),
            "mrkdwn_in": ["fields"],
        }],
    })
}

fn field(title: &str, value: &str, short: bool) -> Value {
    json!({ "title": title, "value": value, "short": short })
}

/// Slack's three control characters, escaped as its formatting reference asks.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const fn sign(stage: Stage) -> &'static str {
    match stage {
        Stage::Started | Stage::Overdue | Stage::Failed => "🚨",
        Stage::ApprovalNeeded => "✋",
        Stage::Recovered => "✅",
        Stage::StoodDown => "ℹ️",
    }
}

/// Slack's own three colours, and a grey for what needs nobody.
const fn color(stage: Stage) -> &'static str {
    match stage {
        Stage::Started | Stage::ApprovalNeeded => "warning",
        Stage::Recovered => "good",
        Stage::StoodDown => "#9e9e9e",
        Stage::Overdue | Stage::Failed => "danger",
    }
}
