//! The ports on AWS: Parameter Store, SNS, and webhooks over HTTPS.

use aws_sdk_sns::{Client, types::MessageAttributeValue};
use lifeboat_core::{AppName, Fault, Region, plan_file::AppPlan};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, env};
use notify::{CHANNEL_DEADLINE, Chat, Message, Plans, Ports, Topic};
use serde_json::Value;

/// The ports of this deployment.
pub(crate) async fn ports() -> Result<Ports<PlanStore, Sns, Webhook>, Fault> {
    let region = Region::new(env::required("AWS_REGION")?)
        .map_err(|error| Fault::needs_human(error.to_string()))?;
    let topic_arn = env::required("NOTIFICATIONS_TOPIC_ARN")?;
    let config = aws::config().await;
    let parameters = Parameters::new(&config);
    let http = reqwest::Client::builder()
        .timeout(CHANNEL_DEADLINE)
        // A webhook that redirects is not the one that was given.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Fault::needs_human(format!("the HTTP client cannot start: {error}")))?;
    Ok(Ports {
        region,
        topic: Sns { client: Client::new(&config), topic_arn },
        chat: Webhook { parameters: parameters.clone(), http },
        plans: PlanStore(parameters),
    })
}

/// Plans in Parameter Store.
pub(crate) struct PlanStore(Parameters);

impl Plans for PlanStore {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.0.plan(app).await
    }
}

/// The region's topic.
pub(crate) struct Sns {
    client: Client,
    topic_arn: String,
}

impl Topic for Sns {
    async fn publish(&self, message: &Message) -> Result<(), Fault> {
        let attributes = [("message_id", message.id.as_str()), ("stage", message.stage)];
        let app = message.app.as_deref().map(|app| ("app", app));
        let mut request = self
            .client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(&message.subject)
            .message(&message.body);
        for (name, value) in attributes.into_iter().chain(app) {
            let value =
                MessageAttributeValue::builder().data_type("String").string_value(value).build();
            let value = value.map_err(|error| Fault::needs_human(error.to_string()))?;
            request = request.message_attributes(name, value);
        }
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(aws::fault("publish to the notifications topic", error)),
        }
    }
}

/// Webhooks, whose URLs are secrets: no error made here shows one.
pub(crate) struct Webhook {
    parameters: Parameters,
    http: reqwest::Client,
}

impl Chat for Webhook {
    async fn post(&self, app: &AppName, secret: &str, payload: &Value) -> Result<(), Fault> {
        let url = self.parameters.secret(app, secret).await?;
        let answer = self.http.post(url.expose()).json(payload).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Fault::transient(format!(
                "the webhook answers HTTP {}",
                answer.status().as_u16()
            ))),
            // What the library says of a URL that it cannot read may repeat it.
            Err(error) if error.is_builder() => {
                Err(Fault::invalid(format!("secret {secret} of {app} is not a URL")))
            }
            Err(error) if error.is_timeout() => {
                Err(Fault::transient("the webhook did not answer in time"))
            }
            Err(error) if error.is_connect() => {
                Err(Fault::transient("the webhook's server cannot be reached"))
            }
            Err(_) => Err(Fault::transient("the connection to the webhook broke")),
        }
    }
}
