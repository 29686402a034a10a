"""The IAM question that the gateway asks, and the roles that functions act under."""

import unittest

from harness import WEST, client, function, invoke, lab, port, role

ALLOW = [{"Effect": "Allow", "Action": "rds:PromoteReadReplica", "Resource": "arn:aws:rds:us-west-2:*:db:queue"}]
QUEUE = "arn:aws:rds:us-west-2:000000000000:db:queue"


def ask(key, action, resource, **context):
    request = {"access_key_id": key, "action": action, "resource": resource, "region": WEST, "context": context}
    return lab("POST", "authorize", request)


class Authorize(unittest.TestCase):
    def test_root_key_may_do_everything(self):
        self.assertTrue(ask("test", "rds:DeleteDBInstance", "*")["allowed"])

    def test_assumed_role(self):
        arn = role("authorize", ALLOW)
        session = client("sts").assume_role(RoleArn=arn, RoleSessionName="operator")["Credentials"]["AccessKeyId"]
        allowed = ask(session, "rds:PromoteReadReplica", QUEUE)
        self.assertTrue(allowed["allowed"])
        self.assertEqual(allowed["principal"], "arn:aws:sts::000000000000:assumed-role/authorize/operator")
        for action, resource in (("rds:PromoteReadReplica", QUEUE + "x"), ("rds:DeleteDBInstance", QUEUE)):
            denied = ask(session, action, resource)
            self.assertFalse(denied["allowed"])
            self.assertIn(f"is not authorized to perform: {action} on resource: {resource}", denied["message"])

    def test_condition_keys(self):
        tagged = {
            "Effect": "Allow",
            "Action": "ssm:SendCommand",
            "Resource": "*",
            "Condition": {"StringLike": {"ssm:resourceTag/lifeboat-site": "a*"}},
        }
        metrics = {
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": "Ours"}},
        }
        arn = role("conditions", [tagged, metrics])
        given = client("sts").assume_role(RoleArn=arn, RoleSessionName="operator")["Credentials"]
        key = given["AccessKeyId"]
        host = "arn:aws:ec2:us-west-2:000000000000:instance/i-1"
        self.assertTrue(ask(key, "ssm:SendCommand", host, **{"ssm:resourceTag/lifeboat-site": "a1"})["allowed"])
        self.assertFalse(ask(key, "ssm:SendCommand", host, **{"ssm:resourceTag/lifeboat-site": "b"})["allowed"])
        self.assertFalse(ask(key, "ssm:SendCommand", host)["allowed"])

        cloudwatch = client("cloudwatch", key=key, secret=given["SecretAccessKey"], token=given["SessionToken"])
        datum = [{"MetricName": "m", "Value": 1}]
        cloudwatch.put_metric_data(Namespace="Ours", MetricData=datum)
        with self.assertRaises(cloudwatch.exceptions.ClientError):
            cloudwatch.put_metric_data(Namespace="Theirs", MetricData=datum)

    def test_a_change_of_route53_is_a_resource(self):
        only_changes = {"Effect": "Allow", "Action": "route53:GetChange", "Resource": "arn:aws:route53:::change/*"}
        arn = role("changes", [only_changes])
        given = client("sts").assume_role(RoleArn=arn, RoleSessionName="operator")["Credentials"]
        created = client("route53").create_hosted_zone(Name="change.test", CallerReference="change")
        route53 = client("route53", key=given["AccessKeyId"], secret=given["SecretAccessKey"], token=given["SessionToken"])
        change = created["ChangeInfo"]["Id"]
        self.assertIn(route53.get_change(Id=change)["ChangeInfo"]["Status"], ("PENDING", "INSYNC"))
        with self.assertRaises(route53.exceptions.ClientError):
            route53.get_hosted_zone(Id=created["HostedZone"]["Id"])

    def test_snapshots_of_a_replication_group_are_snapshots(self):
        def elasticache(name, resource):
            look = {"Effect": "Allow", "Action": "elasticache:DescribeSnapshots", "Resource": resource}
            arn = role(name, [look])
            given = client("sts").assume_role(RoleArn=arn, RoleSessionName="operator")["Credentials"]
            keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
            return client("elasticache", key=keys[0], secret=keys[1], token=keys[2])

        snapshots = elasticache("snapshots", "arn:aws:elasticache:*:000000000000:snapshot:*")
        self.assertEqual(snapshots.describe_snapshots(ReplicationGroupId="queue")["Snapshots"], [])
        groups = elasticache("groups", "arn:aws:elasticache:*:000000000000:replicationgroup:*")
        with self.assertRaises(groups.exceptions.ClientError):
            groups.describe_snapshots(ReplicationGroupId="queue")

    def test_unknown_key(self):
        denied = ask("AKIANOBODY", "rds:DescribeDBInstances", "*")
        self.assertEqual((denied["allowed"], denied["code"]), (False, "UnrecognizedClientException"))

    def test_a_function_acts_under_its_role_and_sees_no_host_environment(self):
        function("env", "def handle(event): return dict(os.environ)", role_arn=role("env-role", ALLOW))
        env = invoke("env")
        self.assertNotIn("A_HOST_SECRET", env)
        self.assertNotIn("HOME", env)
        self.assertEqual(env["AWS_REGION"], "us-east-1")
        self.assertEqual(env["AWS_ENDPOINT_URL"], f"http://127.0.0.1:{port()}")
        function("env", "def handle(event): return dict(os.environ)", WEST, role_arn=role("env-role-west"))
        self.assertEqual(invoke("env", region=WEST)["AWS_ENDPOINT_URL"], f"http://localhost:{port()}")
        self.assertTrue(ask(env["AWS_ACCESS_KEY_ID"], "rds:PromoteReadReplica", QUEUE)["allowed"])
        as_function = client(
            "ssm", key=env["AWS_ACCESS_KEY_ID"], secret=env["AWS_SECRET_ACCESS_KEY"], token=env["AWS_SESSION_TOKEN"]
        )
        with self.assertRaises(as_function.exceptions.ClientError) as refused:
            as_function.get_parameter(Name="/x")
        self.assertEqual(refused.exception.response["Error"]["Code"], "AccessDeniedException")


if __name__ == "__main__":
    unittest.main()
