"""What one service does for another needs the permissions that AWS asks for."""

import unittest

from harness import client, function, machine, role, run, wait_for


class Permissions(unittest.TestCase):
    def test_a_machine_acts_under_its_role(self):
        arn = function("roles", "def handle(event): return {}")
        definition = {
            "StartAt": "Call",
            "States": {
                "Call": {"Type": "Task", "Resource": arn, "Next": "Read"},
                "Read": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::aws-sdk:ssm:getParameter",
                    "Parameters": {"Name": "/roles"},
                    "End": True,
                },
            },
        }
        client("ssm").put_parameter(Name="/roles", Value="x", Type="String")
        invoke = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
        read = {"Effect": "Allow", "Action": "ssm:Get*", "Resource": "arn:aws:ssm:*:*:parameter/roles"}

        none = run(machine("roles-none", definition, role_arn=role("roles-none")))
        self.assertEqual(none["error"], "Lambda.AWSLambdaException")
        self.assertIn("not authorized to perform: lambda:InvokeFunction", none["cause"])
        half = run(machine("roles-half", definition, role_arn=role("roles-half", [invoke])))
        self.assertEqual(half["error"], "Ssm.AccessDeniedException")
        both = run(machine("roles-both", definition, role_arn=role("roles-both", [invoke, read])))
        self.assertEqual(both["status"], "SUCCEEDED")

    def test_a_topic_needs_the_functions_consent(self):
        queue = client("sqs").create_queue(QueueName="consent")["QueueUrl"]
        handler = f'''
import boto3
def handle(event):
    boto3.client("sqs").send_message(QueueUrl="{queue}", MessageBody=event["Records"][0]["Sns"]["Message"])
'''
        allowed = [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}]
        arn = function("subscriber", handler, role_arn=role("subscriber", allowed))
        topic = client("sns").create_topic(Name="consent")["TopicArn"]
        client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
        client("sns").publish(TopicArn=topic, Message="refused")
        client("lambda").add_permission(
            FunctionName="subscriber",
            StatementId="topic",
            Action="lambda:InvokeFunction",
            Principal="sns.amazonaws.com",
            SourceArn=topic,
        )
        client("sns").publish(TopicArn=topic, Message="accepted")
        received = wait_for(lambda: client("sqs").receive_message(QueueUrl=queue).get("Messages"), 10, "the message")
        self.assertEqual([message["Body"] for message in received], ["accepted"])


if __name__ == "__main__":
    unittest.main()
