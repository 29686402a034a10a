//! A canary of what every drill relies on in the emulator: a drill that passes proves nothing where
//! one of these lies.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    clock,
    lab::{ACTIVE, APP, Lab, LabError, STANDBY, host_role},
    say,
};

/// Until a small execution has ended.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// Long enough for two alarm periods to be judged.
const ALARM_JUDGED: Duration = Duration::from_secs(22);

/// Checks each thing; the first that is not as on AWS is the error.
///
/// # Errors
/// What the emulator does instead.
pub(super) async fn run(lab: &Lab) -> Result<(), LabError> {
    error_name_reaches_the_machine(lab).await?;
    say::line("  ok   a function's error name reaches Catch in the state machine");
    conditional_put(lab).await?;
    say::line("  ok   a conditional put has one winner");
    roles_are_enforced(lab).await?;
    say::line("  ok   a function's role is enforced");
    alarms_by_dimension(lab).await?;
    say::line("  ok   an alarm looks at its own dimensions only");
    Ok(())
}

/// `notify` is asked something that it does not understand: the machine must see `InvalidInput`.
async fn error_name_reaches_the_machine(lab: &Lab) -> Result<(), LabError> {
    let output =
        lab.ask_function("lifeboat-notify", &json!({ "nonsense": true }), "InvalidInput").await?;
    if output == "caught" {
        Ok(())
    } else {
        Err(LabError::new(format!("the error InvalidInput did not reach Catch: {output}")))
    }
}

/// Two writers that both want to be the first.
async fn conditional_put(lab: &Lab) -> Result<(), LabError> {
    let path = format!("/lifeboat-ledger-000000000000-{}/canary/{APP}", STANDBY.region);
    let (one, two) = tokio::join!(
        lab.aws.put_if_absent(STANDBY.region, &path, "one"),
        lab.aws.put_if_absent(STANDBY.region, &path, "two"),
    );
    match (one?, two?) {
        (true, false) | (false, true) => Ok(()),
        (won, also) => Err(LabError::new(format!("two writers of one key: {won} and {also}"))),
    }
}

/// `plan-recovery` may not publish notifications, and a host has nothing of another app.
async fn roles_are_enforced(lab: &Lab) -> Result<(), LabError> {
    let function = lab.role_of("lifeboat-plan-recovery").await?;
    let host = format!("arn:aws:iam::000000000000:role/{}", host_role(&STANDBY));
    let parameter = |path: String| {
        format!("arn:aws:ssm:{}:000000000000:parameter/lifeboat/{path}", STANDBY.region)
    };
    for (role, action, resource, allowed) in [
        (&host, "ssm:GetParameter", parameter(format!("secrets/{APP}/database")), true),
        (&host, "ssm:GetParameter", parameter(format!("secrets/{APP}/slack-webhook")), false),
        (&host, "ssm:GetParameter", parameter(format!("secrets/{APP}-2/database")), false),
        (&host, "ssm:GetParameter", parameter(format!("plans/{APP}-2")), false),
        (
            &function,
            "sns:Publish",
            format!("arn:aws:sns:{}:000000000000:lifeboat-notifications", STANDBY.region),
            false,
        ),
        (
            &function,
            "rds:PromoteReadReplica",
            format!("arn:aws:rds:{}:000000000000:db:{}", STANDBY.region, STANDBY.instance),
            false,
        ),
        (&function, "ssm:GetParameter", parameter(format!("plans/{APP}")), true),
    ] {
        let parameters = [
            ("PolicySourceArn", role.as_str()),
            ("ActionNames.member.1", action),
            ("ResourceArns.member.1", resource.as_str()),
        ];
        let version = "2010-05-08";
        let answer = lab
            .aws
            .query(STANDBY.region, "iam", version, "SimulatePrincipalPolicy", &parameters)
            .await?;
        let found = answer.contains("<EvalDecision>allowed</EvalDecision>");
        if found != allowed {
            return Err(LabError::new(format!("{role}: {action} is allowed: {found}")));
        }
    }
    Ok(())
}

/// Votes against a site that does not exist must not raise the alarm on one that does.
async fn alarms_by_dimension(lab: &Lab) -> Result<(), LabError> {
    let alarm = format!("lifeboat-site-down-{APP}--{}", ACTIVE.name);
    let began = std::time::Instant::now();
    while began.elapsed() < ALARM_JUDGED {
        let datum = json!({
            "MetricName": "SiteDown",
            "Dimensions": [{ "Name": "app", "Value": APP }, { "Name": "site", "Value": "elsewhere" }],
            "Value": 1.0, "Unit": "Count", "StorageResolution": 1,
        });
        let body = json!({ "Namespace": "Lifeboat", "MetricData": [datum] });
        let target = "GraniteServiceVersion20100801.PutMetricData";
        lab.aws.json(STANDBY.region, "monitoring", target, &body).await?;
        let state = lab.alarm_state(STANDBY.region, &alarm).await?;
        if state == "ALARM" {
            return Err(LabError::new("an alarm counts another site's votes"));
        }
        clock::pause(Duration::from_secs(1)).await;
    }
    Ok(())
}

impl Lab {
    /// Runs a machine of one task that invokes a function and catches one error name; `caught`, or
    /// whatever else came out.
    async fn ask_function(
        &self,
        function: &str,
        payload: &Value,
        error: &str,
    ) -> Result<String, LabError> {
        let states = |operation: &'static str, body: Value| async move {
            let target = format!("AWSStepFunctions.{operation}");
            self.aws.json(STANDBY.region, "states", &target, &body).await
        };
        let recover =
            format!("arn:aws:states:{}:000000000000:stateMachine:lifeboat-recover", STANDBY.region);
        let described =
            states("DescribeStateMachine", json!({ "stateMachineArn": recover })).await?;
        let definition = json!({
            "QueryLanguage": "JSONata",
            "StartAt": "Ask",
            "States": {
                "Ask": {
                    "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                    "Arguments": { "FunctionName": function, "Payload": payload },
                    "Catch": [{ "ErrorEquals": [error], "Next": "Caught" }],
                    "End": true,
                },
                "Caught": { "Type": "Pass", "Output": "caught", "End": true },
            },
        });
        let created = states(
            "CreateStateMachine",
            json!({
                "name": "lifeboat-canary",
                "definition": definition.to_string(),
                "roleArn": described.get("roleArn"),
            }),
        )
        .await?;
        let started = states(
            "StartExecution",
            json!({ "stateMachineArn": created.get("stateMachineArn"), "input": "{}" }),
        )
        .await?;
        let question = json!({ "executionArn": started.get("executionArn") });
        let ended = clock::find(ENDS_WITHIN, || async {
            let now = states("DescribeExecution", question.clone()).await.ok()?;
            let running = now.get("status").and_then(Value::as_str) == Some("RUNNING");
            (!running).then_some(now)
        })
        .await
        .ok_or_else(|| LabError::new("the canary's execution does not end"))?;
        let output = ended.get("output").and_then(Value::as_str).unwrap_or_default();
        Ok(serde_json::from_str::<String>(output).unwrap_or_else(|_| ended.to_string()))
    }

    /// The role of a function.
    async fn role_of(&self, function: &str) -> Result<String, LabError> {
        let path = format!("/2015-03-31/functions/{function}");
        let get = reqwest::Method::GET;
        let text = self.aws.rest(get, STANDBY.region, "lambda", &path, String::new()).await?;
        let answer: Value = serde_json::from_str(&text)
            .map_err(|error| LabError::from_error("GetFunction", &error))?;
        let role = answer.pointer("/Configuration/Role").and_then(Value::as_str);
        role.map(str::to_owned).ok_or_else(|| LabError::new(format!("{function} has no role")))
    }
}
