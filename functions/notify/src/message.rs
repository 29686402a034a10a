//! The message for people: what happened, and what they have to do.
//!
//! Pure: the same request gives the same text, and the tests hold the texts as they are sent.

use lifeboat_core::{
    Region,
    contract::notify::{Page, Request, Stage},
    recovery_plan::{Action, RecoveryPlan},
};

use crate::advice::{Advice, advice};

/// The longest subject that SNS accepts, in characters (API reference, `Publish`).
const LONGEST_SUBJECT: usize = 100;

/// A message in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same for every copy of the message: `<incident>/<stage>`.
    pub id: String,
    /// The stage's name, by which a subscription can filter.
    pub stage: &'static str,
    /// The app, by which a subscription can filter; none when it is not known.
    pub app: Option<String>,
    /// One line of printable ASCII, at most 100 characters.
    pub subject: String,
    /// The facts, the plan if there is one, and what to do.
    pub body: String,
    /// What to do, in parts.
    pub(crate) advice: Vec<Advice>,
}

impl Message {
    /// The message of a request; `region` is where the recovery runs.
    #[must_use]
    pub fn of(request: &Request, region: &Region) -> Self {
        let advice = advice(request, region);
        Self {
            id: format!("{}/{}", request.incident, request.stage.as_str()),
            stage: request.stage.as_str(),
            app: Some(request.app.to_string()),
            subject: subject(request),
            body: body(request, region, &advice),
            advice,
        }
    }
}

impl Message {
    /// The message of a page. Its first sentence is the subject too.
    #[must_use]
    pub fn page(page: &Page) -> Self {
        let Page { page: text, execution } = page;
        let name = execution.rsplit(':').next().unwrap_or(execution);
        let first = text.split_once(". ").map_or(text.as_str(), |(first, _)| first);
        Self {
            id: format!("{name}/page"),
            stage: "page",
            app: None,
            subject: one_line(&first.replace(execution, name)),
            body: format!("{text}\n\nExecution: {execution}\n"),
            advice: Vec::new(),
        }
    }
}

/// The stage in words.
pub(crate) const fn headline(stage: Stage) -> &'static str {
    match stage {
        Stage::Started => "recovery started",
        Stage::ApprovalNeeded => "APPROVAL NEEDED",
        Stage::Overdue => "RECOVERY OVERDUE",
        Stage::Recovered => "recovered",
        Stage::StoodDown => "stood down",
        Stage::Failed => "RECOVERY FAILED",
    }
}

fn subject(request: &Request) -> String {
    one_line(&format!("[{}] {}: {}", request.app, headline(request.stage), request.summary))
}

/// What SNS takes as a subject.
fn one_line(text: &str) -> String {
    let line: String = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect();
    if line.len() <= LONGEST_SUBJECT {
        return line;
    }
    let kept: String = line.chars().take(LONGEST_SUBJECT - 3).collect();
    format!("{}...", kept.trim_end())
}

fn body(request: &Request, region: &Region, advice: &[Advice]) -> String {
    let mut lines = vec![
        format!("{}: {}", request.app, headline(request.stage)),
        String::new(),
        "WHAT HAPPENED".to_owned(),
        request.summary.clone(),
        String::new(),
        "WHAT TO DO".to_owned(),
    ];
    for Advice { text, command } in advice {
        lines.push(text.clone());
        lines.extend(command.iter().map(|command| format!("    {command}")));
    }
    if let Some(plan) = &request.plan {
        let title = if has_ended(request.stage) { "WHAT WAS PLANNED" } else { "THE PLAN" };
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(plan_lines(plan, request.stage));
    }
    lines.extend([
        String::new(),
        format!("Stage:     {}", request.stage.as_str()),
        format!("Incident:  {}", request.incident),
        format!("Region:    {region}"),
    ]);
    lines.extend(request.execution.iter().map(|execution| format!("Execution: {execution}")));
    lines.push(String::new());
    lines.join("\n")
}

/// Whether nothing of the plan is still to come, its time least of all.
pub(crate) const fn has_ended(stage: Stage) -> bool {
    match stage {
        Stage::Started | Stage::ApprovalNeeded | Stage::Overdue => false,
        Stage::Recovered | Stage::StoodDown | Stage::Failed => true,
    }
}

/// The plan, line by line.
pub(crate) fn plan_lines(plan: &RecoveryPlan, stage: Stage) -> Vec<String> {
    let mut lines = vec![
        format!("{}: site {} -> site {}", plan.scenario.as_str(), plan.old_active, plan.target),
        format!("Data loss: {}", loss(plan)),
    ];
    if !has_ended(stage) {
        lines.push(format!("Time: {}", time(plan)));
    }
    lines.extend(plan.steps.iter().zip(1..).map(|(step, place)| {
        format!("{place}. {} (site {}): {}", doing(step.action), step.site, step.reason)
    }));
    lines
}

/// The loss estimate against the RPO.
pub(crate) fn loss(plan: &RecoveryPlan) -> String {
    let rpo = plan.rpo_seconds;
    match plan.estimated_loss_seconds {
        Some(loss) => format!(
            "at most {loss:.1} s of acknowledged writes, {} the RPO of {rpo} s",
            against(loss, rpo)
        ),
        None => format!("UNKNOWN, so it may be more than the RPO of {rpo} s"),
    }
}

/// The time estimate against the RTO.
pub(crate) fn time(plan: &RecoveryPlan) -> String {
    let (estimate, rto) = (plan.estimated_rto_seconds, plan.rto_seconds);
    format!("about {estimate:.0} s from here, {} the RTO of {rto} s", against(estimate, rto))
}

fn against(estimate: f64, target: u32) -> &'static str {
    if estimate <= f64::from(target) { "within" } else { "MORE THAN" }
}

/// A step's action in words.
const fn doing(action: Action) -> &'static str {
    match action {
        Action::ClaimEpoch => "claim the epoch",
        Action::Fence => "fence",
        Action::Promote => "promote the database",
        Action::Activate => "start the app",
        Action::Verify => "verify",
        Action::SwitchByHealthCheck => "switch traffic by health check",
        Action::SwitchByRecord => "switch traffic by record",
    }
}
