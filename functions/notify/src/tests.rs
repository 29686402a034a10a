//! The handler with fakes, and the texts as people get them.

use std::{
    future::pending,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use lifeboat_core::{contract::notify::Stage, plan_file};

use super::*;

/// A world that keeps what it is told, and whose n-th call fails or hangs.
#[derive(Default)]
struct World {
    calls: AtomicUsize,
    fail_at: Option<usize>,
    hang_at: Option<usize>,
    no_webhook: bool,
    published: Mutex<Vec<Message>>,
    posted: Mutex<Vec<(String, Value)>>,
}

impl World {
    async fn call(&self) -> Result<(), Fault> {
        let place = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.hang_at == Some(place) {
            pending::<()>().await;
        }
        if self.fail_at == Some(place) { Err(Fault::transient("a reset")) } else { Ok(()) }
    }
}

impl Plans for &World {
    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        self.call().await?;
        let mut plan = plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap();
        if self.no_webhook {
            plan.notifications.slack_webhook_secret = None;
        }
        Ok(plan)
    }
}

impl Topic for &World {
    async fn publish(&self, message: &Message) -> Result<(), Fault> {
        self.call().await?;
        self.published.lock().unwrap().push(message.clone());
        Ok(())
    }
}

impl Chat for &World {
    async fn post(&self, _: &AppName, secret: &str, payload: &Value) -> Result<(), Fault> {
        self.call().await?;
        self.posted.lock().unwrap().push((secret.to_owned(), payload.clone()));
        Ok(())
    }
}

const EVENTS: [(Stage, &str); 6] = [
    (Stage::Started, include_str!("../../../events/notify/started.json")),
    (Stage::ApprovalNeeded, include_str!("../../../events/notify/approval-needed.json")),
    (Stage::Recovered, include_str!("../../../events/notify/recovered.json")),
    (Stage::StoodDown, include_str!("../../../events/notify/stood-down.json")),
    (Stage::Failed, include_str!("../../../events/notify/failed.json")),
    (Stage::Overdue, include_str!("../../../events/notify/overdue.json")),
];

fn request(stage: Stage) -> Request {
    let (_, text) = EVENTS.into_iter().find(|(of, _)| *of == stage).unwrap();
    let request: Request = serde_json::from_str(text).unwrap();
    assert_eq!(request.stage, stage);
    request
}

fn region() -> Region {
    "us-west-2".parse().unwrap()
}

async fn tell(world: &World, stage: Stage) -> Vec<Delivery> {
    let ports = Ports { region: region(), plans: world, topic: world, chat: world };
    let order = Order::Recovery(Box::new(request(stage)));
    handle(order, &ports).await.unwrap().deliveries
}

fn delivered(channel: &str) -> Delivery {
    Delivery { channel: channel.into(), delivered: true, detail: None }
}

#[tokio::test]
async fn every_stage_is_told_to_both_channels() {
    for (stage, _) in EVENTS {
        let world = World::default();
        assert_eq!(tell(&world, stage).await, [delivered("sns"), delivered("slack")]);
        let posted = world.posted.lock().unwrap();
        assert_eq!(posted[0].0, "slack-webhook");
        let id = format!("queue-e2-2026-01-01T12-00-25Z/{}", stage.as_str());
        assert_eq!(world.published.lock().unwrap()[0].id, id);
        assert_eq!(posted[0].1["attachments"][0]["footer"], format!("lifeboat {id}"));
    }
}

#[tokio::test]
async fn a_page_is_published_as_it_is_and_fails_the_function_when_it_is_not_taken() {
    let text = include_str!("../../../events/notify/page.json");
    let ask = async |world: &World| {
        let ports = Ports { region: region(), plans: world, topic: world, chat: world };
        handle(serde_json::from_str(text).unwrap(), &ports).await
    };
    let world = World::default();
    assert_eq!(ask(&world).await.unwrap().deliveries, [delivered("sns")]);
    let Message { id, stage, app, subject, body, .. } = world.published.lock().unwrap().remove(0);
    assert_eq!((id.as_str(), stage, app), ("queue-e2-2026-01-01T12-00-25Z/page", "page", None));
    assert_eq!(subject, "Lifeboat: recovery queue-e2-2026-01-01T12-00-25Z ended with TIMED_OUT");
    assert!(body.starts_with("Lifeboat: recovery arn:aws:states:us-west-2:"), "{body}");
    let failing = World { fail_at: Some(0), ..World::default() };
    assert_eq!(ask(&failing).await.unwrap_err().name, lifeboat_core::ErrorName::Transient);
    assert!(serde_json::from_str::<Order>(r#"{"page":"x","execution":"y","more":1}"#).is_err());
    let missing = serde_json::from_str::<Order>(r#"{"nonsense":true}"#).unwrap_err().to_string();
    assert!(missing.contains("nonsense"), "{missing}");
}

#[tokio::test]
async fn telling_twice_tells_the_same_under_the_same_id() {
    let world = World::default();
    let first = tell(&world, Stage::ApprovalNeeded).await;
    assert_eq!(tell(&world, Stage::ApprovalNeeded).await, first);
    let published = world.published.lock().unwrap();
    assert_eq!(published[0], published[1]);
    let posted = world.posted.lock().unwrap();
    assert_eq!(posted[0], posted[1]);
}

#[tokio::test]
async fn a_call_that_fails_loses_only_its_own_channel() {
    // The calls in their order: publish, plan, post.
    for (place, channel) in [(0, "sns"), (1, "slack"), (2, "slack")] {
        let world = World { fail_at: Some(place), ..World::default() };
        for delivery in tell(&world, Stage::Failed).await {
            assert_eq!(delivery.delivered, delivery.channel != channel, "{place}: {delivery:?}");
            assert_eq!(delivery.detail.is_some(), !delivery.delivered);
        }
        assert_eq!(tell(&world, Stage::Failed).await, [delivered("sns"), delivered("slack")]);
    }
}

#[tokio::test]
async fn without_the_plan_the_topic_is_told_and_slack_is_said_to_be_missed() {
    let world = World { fail_at: Some(1), ..World::default() };
    let deliveries = tell(&world, Stage::Started).await;
    assert_eq!(deliveries[0], delivered("sns"));
    assert_eq!(
        deliveries[1].detail.as_deref(),
        Some("the plan, which names the webhook, cannot be read: a reset")
    );
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_hangs_costs_its_deadline_and_no_more() {
    for (place, channel) in [(0, "sns"), (2, "slack")] {
        let world = World { hang_at: Some(place), ..World::default() };
        let begun = tokio::time::Instant::now();
        for delivery in tell(&world, Stage::Started).await {
            assert_eq!(delivery.delivered, delivery.channel != channel);
            if !delivery.delivered {
                assert_eq!(delivery.detail.as_deref(), Some("no answer within 2 s"));
            }
        }
        assert!(begun.elapsed() < CHANNEL_DEADLINE * 2, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_plan_without_a_webhook_has_one_channel() {
    let world = World { no_webhook: true, ..World::default() };
    assert_eq!(tell(&world, Stage::Started).await, [delivered("sns")]);
}

#[test]
fn the_text_of_each_stage_is_as_agreed() {
    let golden = [
        (Stage::Started, include_str!("tests/started.txt")),
        (Stage::ApprovalNeeded, include_str!("tests/approval-needed.txt")),
        (Stage::Recovered, include_str!("tests/recovered.txt")),
        (Stage::StoodDown, include_str!("tests/stood-down.txt")),
        (Stage::Failed, include_str!("tests/failed.txt")),
        (Stage::Overdue, include_str!("tests/overdue.txt")),
    ];
    for (stage, expected) in golden {
        let message = Message::of(&request(stage), &region());
        let text = format!("Subject: {}\n\n{}", message.subject, message.body);
        assert_eq!(text, expected, "--- the text is now:\n{text}");
    }
}

#[test]
fn slack_gets_the_facts_and_the_commands() {
    let request = request(Stage::ApprovalNeeded);
    let payload = slack::payload(&request, &Message::of(&request, &region()));
    let expected: Value = serde_json::from_str(include_str!("tests/approval-needed.json")).unwrap();
    let text = serde_json::to_string_pretty(&payload).unwrap();
    assert_eq!(payload, expected, "--- the payload is now:\n{text}");
}

#[test]
fn the_approval_that_is_shown_is_one_that_the_machine_takes() {
    for (loss, shown) in [(Some(7.5), "7.5"), (None, "null")] {
        let mut request = request(Stage::ApprovalNeeded);
        request.plan.as_mut().unwrap().estimated_loss_seconds = loss;
        let message = Message::of(&request, &region());
        let command = message.advice[0].command.clone().unwrap();
        assert!(command.contains(&format!("\"shown_loss_seconds\":{shown}}}'")), "{command}");
        // As the shell puts it together.
        let (_, output) = command.split_once("--task-output '").unwrap();
        let output = output.strip_suffix('\'').unwrap();
        let output = output.replace("'$(date -u +%FT%TZ)'", "2026-01-01T12:01:00Z");
        let given: lifeboat_core::guard::ApprovalGiven = serde_json::from_str(&output).unwrap();
        assert_eq!(given.shown_loss_seconds, loss);
    }
}

#[test]
fn an_unknown_loss_is_never_shown_as_none() {
    let mut request = request(Stage::ApprovalNeeded);
    request.plan.as_mut().unwrap().estimated_loss_seconds = None;
    let message = Message::of(&request, &region());
    assert!(message.body.contains("Data loss: UNKNOWN"), "{}", message.body);
}

#[test]
fn a_subject_fits_sns_whatever_the_summary_is() {
    let mut request = request(Stage::Failed);
    for summary in ["x".repeat(500), "two\nlines\tand → more".into(), String::new()] {
        request.summary = summary;
        let subject = Message::of(&request, &region()).subject;
        assert!((1..=100).contains(&subject.len()), "{subject}");
        assert!(subject.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{subject}");
    }
}

#[test]
fn slack_markup_in_a_summary_is_text() {
    let mut request = request(Stage::Failed);
    request.summary = "<!channel> a & b".into();
    let payload = slack::payload(&request, &Message::of(&request, &region())).to_string();
    assert!(payload.contains("&lt;!channel&gt; a &amp; b") && !payload.contains("<!channel>"));
}
