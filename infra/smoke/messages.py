"""From an alarm to a person, over every service between."""

import json
import re

from account import TAG
from world import Failed, World, until

# EventBridge delivers within seconds; the machine then looks at the site, and tells.
TOLD_SECONDS = 180


def alarm_to_message(world: World) -> str:
    region = world.regions[1]
    watch, states, sns, sqs = (world.client(name, region) for name in ("cloudwatch", "stepfunctions", "sns", "sqs"))
    alarm = f"lifeboat-site-down-{world.app}--a"
    if not watch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]:
        raise Failed(f"the alarm {alarm} is not in {region}: was the plan applied?")
    machine = f"arn:aws:states:{region}:{world.account}:stateMachine:lifeboat-recover"
    topic = f"arn:aws:sns:{region}:{world.account}:lifeboat-notifications"
    before = executions(states, machine)

    name = f"{TAG}-{world.run}"
    queue = sqs.create_queue(QueueName=name, tags={TAG: world.run})["QueueUrl"]
    world.will_undo(f"queue {name}", lambda: sqs.delete_queue(QueueUrl=queue))
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
            }
        ],
    }
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(allow)})
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)["SubscriptionArn"]
    world.will_undo("its subscription", lambda: sns.unsubscribe(SubscriptionArn=subscription))

    watch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="lifeboat smoke test")
    started = until("an execution of lifeboat-recover", TOLD_SECONDS, lambda: executions(states, machine) - before, every=2)
    execution = sorted(started)[0]

    def told():
        for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5, MaxNumberOfMessages=10).get("Messages", []):
            body = json.loads(message["Body"])
            # The alarm pages by itself too; what is looked for is the machine's own word.
            if '"AlarmName"' not in body["Message"] and world.app in body["Message"] + body.get("Subject", ""):
                return body
        return None

    body = until("a message of the recovery", TOLD_SECONDS, told, every=1)
    ended = until(
        "the end of the recovery",
        TOLD_SECONDS,
        lambda: (one := states.describe_execution(executionArn=execution))["status"] != "RUNNING" and one,
        every=2,
    )
    if ended["status"] != "SUCCEEDED":
        raise Failed(f"the recovery of a site that is well ended as {ended['status']}")
    subject = re.sub(r"\s+", " ", body.get("Subject") or body["Message"])[:100]
    return f'told "{subject}"; the recovery ended as {ended["status"]}'


def executions(states, machine: str) -> set[str]:
    return {one["executionArn"] for one in states.list_executions(stateMachineArn=machine, maxResults=100)["executions"]}
