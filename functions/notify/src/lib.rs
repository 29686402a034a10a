//! `notify`: tell people. It never blocks a recovery and never fails one.
//!
//! The region's SNS topic gets every message, whatever else is broken: it needs nothing but the
//! request. The Slack webhook that the plan names gets the same facts in Slack's format. Both are
//! told at the same time and each has [`CHANNEL_DEADLINE`]; what becomes of them is the answer, and
//! a channel that fails is a warning in the log.
//!
//! A repeated request may tell people again, because a lost answer cannot be told from a lost
//! message. Every copy carries the same [`Message::id`], by which a receiver drops the second one.
//!
//! A page of the rules on failed executions is published as it is, and fails the function when the
//! topic does not take it: Lambda tries again, and an alarm is on what remains.
//!
//! The webhook's URL is a secret: it never leaves the adapter, so that no text made here can hold it.

mod advice;
mod message;
mod slack;

#[cfg(test)]
mod tests;

use std::{future::Future, time::Duration};

use lifeboat_core::{
    AppName, Fault, Region,
    contract::notify::{Delivery, Order, Request, Response},
    plan_file::AppPlan,
};
use serde_json::Value;
use tokio::time::timeout;

pub use message::Message;

/// How long a channel may take: people wait for minutes, the recovery must not wait for seconds.
pub const CHANNEL_DEADLINE: Duration = Duration::from_secs(2);

/// Where plans are read.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// The region's topic.
pub trait Topic {
    /// Publishes a message.
    fn publish(&self, message: &Message) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// A webhook in Slack's format.
pub trait Chat {
    /// Posts to the webhook whose URL is this secret of the app.
    ///
    /// # Errors
    /// Why it was not taken, without the URL.
    fn post(
        &self,
        app: &AppName,
        secret: &str,
        payload: &Value,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What the function needs of the world.
#[derive(Debug)]
pub struct Ports<P, T, C> {
    /// The region that it runs in, for the commands in the text.
    pub region: Region,
    /// The plans.
    pub plans: P,
    /// The region's topic.
    pub topic: T,
    /// The webhooks.
    pub chat: C,
}

/// Carries out what is asked.
///
/// # Errors
/// [`lifeboat_core::ErrorName::Transient`] when a page was not taken: whoever hands it over tries
/// again, and nobody waits. Of a recovery none: a channel that fails is a [`Delivery`] that says so.
pub async fn handle<P, T, C>(order: Order, ports: &Ports<P, T, C>) -> Result<Response, Fault>
where
    P: Plans + Sync,
    T: Topic + Sync,
    C: Chat + Sync,
{
    match order {
        Order::Recovery(request) => Ok(tell(&request, ports).await),
        Order::Page(page) => {
            let message = Message::page(&page);
            let sent = delivery("sns", ports.topic.publish(&message)).await;
            match sent.detail {
                None => Ok(Response { deliveries: vec![sent] }),
                Some(why) => Err(Fault::transient(format!(
                    "page people of {} failed: {why}",
                    page.execution
                ))),
            }
        }
    }
}

/// Tells every channel, and says what became of each.
async fn tell<P, T, C>(request: &Request, ports: &Ports<P, T, C>) -> Response
where
    P: Plans + Sync,
    T: Topic + Sync,
    C: Chat + Sync,
{
    let message = Message::of(request, &ports.region);
    let (sns, slack) = tokio::join!(
        delivery("sns", ports.topic.publish(&message)),
        tell_slack(request, &message, ports),
    );
    let deliveries: Vec<Delivery> = std::iter::once(sns).chain(slack).collect();
    for failed in deliveries.iter().filter(|delivery| !delivery.delivered) {
        tracing::warn!(
            event = "notification_not_delivered",
            channel = failed.channel,
            message_id = message.id,
            detail = failed.detail,
        );
    }
    Response { deliveries }
}

/// The Slack channel's delivery; none when the plan names no webhook.
async fn tell_slack<P, T, C>(
    request: &Request,
    message: &Message,
    ports: &Ports<P, T, C>,
) -> Option<Delivery>
where
    P: Plans,
    C: Chat,
{
    let plan = match within_deadline(ports.plans.plan(&request.app)).await {
        Ok(plan) => plan,
        Err(why) => {
            let detail = format!("the plan, which names the webhook, cannot be read: {why}");
            return Some(not_delivered("slack", detail));
        }
    };
    let secret = plan.notifications.slack_webhook_secret?;
    let payload = slack::payload(request, message);
    Some(delivery("slack", ports.chat.post(&request.app, &secret, &payload)).await)
}

async fn delivery(channel: &str, sending: impl Future<Output = Result<(), Fault>>) -> Delivery {
    match within_deadline(sending).await {
        Ok(()) => Delivery { channel: channel.to_owned(), delivered: true, detail: None },
        Err(why) => not_delivered(channel, why),
    }
}

fn not_delivered(channel: &str, detail: String) -> Delivery {
    Delivery { channel: channel.to_owned(), delivered: false, detail: Some(detail) }
}

async fn within_deadline<R>(work: impl Future<Output = Result<R, Fault>>) -> Result<R, String> {
    match timeout(CHANNEL_DEADLINE, work).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(fault)) => Err(fault.message),
        Err(_) => Err(format!("no answer within {} s", CHANNEL_DEADLINE.as_secs())),
    }
}
