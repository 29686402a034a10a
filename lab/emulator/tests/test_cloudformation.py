"""Templates deploy unchanged: types and properties that ministack lacks, and references that it lets pass."""

import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import harness
from harness import EAST, WEST, client, wait_for

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Text: {Type: String, Default: one}
  Host: {Type: String, Default: a.example.com}
Resources:
  Fence:
    Type: AWS::SSM::Document
    Properties:
      Name: lifeboat-fence
      DocumentType: Command
      UpdateMethod: NewVersion
      Content: {schemaVersion: "2.2", description: !Ref Text, mainSteps: []}
  Check:
    Type: AWS::Route53::HealthCheck
    Properties:
      HealthCheckConfig:
        {Type: HTTP, FullyQualifiedDomainName: !Ref Host, Port: 8080, ResourcePath: /health, Inverted: true}
  Any:
    Type: AWS::Route53::HealthCheck
    Properties:
      HealthCheckConfig: {Type: CALCULATED, HealthThreshold: 1, ChildHealthChecks: [!Ref Check]}
  Zone: {Type: AWS::Route53::HostedZone, Properties: {Name: example.test}}
  Records:
    Type: AWS::Route53::RecordSetGroup
    Properties:
      HostedZoneId: !Ref Zone
      RecordSets:
        - Name: app.example.test
          Type: A
          TTL: "10"
          SetIdentifier: a
          Failover: PRIMARY
          HealthCheckId: !Ref Check
          ResourceRecords: [127.0.1.10]
        - Name: app.example.test
          Type: A
          TTL: "10"
          SetIdentifier: b
          Failover: SECONDARY
          ResourceRecords: [127.0.2.10]
  Topic: {Type: AWS::SNS::Topic, Properties: {KmsMasterKeyId: alias/aws/sns}}
  Down:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: cfn-down
      Namespace: Cfn
      MetricName: M
      Period: 10
      Statistic: Sum
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: LessThanThreshold
  Composite:
    Type: AWS::CloudWatch::CompositeAlarm
    DependsOn: Down
    Properties: {AlarmName: cfn-composite, AlarmRule: 'ALARM("cfn-down")', AlarmActions: [!Ref Topic]}
  Letters: {Type: AWS::SQS::Queue}
  Replica:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: cfn-replica
      ObjectLockEnabled: true
      VersioningConfiguration: {Status: Enabled}
  Vault:
    Type: AWS::S3::Bucket
    DependsOn: Replica
    Properties:
      BucketName: cfn-vault
      ObjectLockEnabled: true
      VersioningConfiguration: {Status: Enabled}
      ObjectLockConfiguration: {ObjectLockEnabled: Enabled, Rule: {DefaultRetention: {Mode: GOVERNANCE, Days: 7}}}
      BucketEncryption:
        ServerSideEncryptionConfiguration:
          - {ServerSideEncryptionByDefault: {SSEAlgorithm: aws:kms}, BucketKeyEnabled: true}
      LifecycleConfiguration:
        Rules:
          - Id: old
            Status: Enabled
            Prefix: wal/
            ExpirationInDays: 30
            NoncurrentVersionExpiration: {NoncurrentDays: 3}
      ReplicationConfiguration:
        Role: !Sub arn:aws:iam::${AWS::AccountId}:role/replication
        Rules:
          - Id: all
            Status: Enabled
            Priority: 1
            Filter: {Prefix: ""}
            DeleteMarkerReplication: {Status: Enabled}
            SourceSelectionCriteria: {SseKmsEncryptedObjects: {Status: Enabled}}
            Destination:
              Bucket: !GetAtt Replica.Arn
              EncryptionConfiguration: {ReplicaKmsKeyID: !Sub "arn:aws:kms:us-west-2:${AWS::AccountId}:key/cfn"}
      Tags: [{Key: app, Value: queue}]
  Function:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: cfn-function
      Runtime: python3.11
      Handler: index.handler
      InlineCode: "def handler(event, context): return 1"
      ReservedConcurrentExecutions: 2
      DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt Letters.Arn}
  Log: {Type: AWS::Logs::LogGroup}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      Name: cfn-machine
      Definition: {StartAt: End, States: {End: {Type: Succeed}}}
      Logging: {Level: ERROR, Destinations: [{CloudWatchLogsLogGroup: {LogGroupArn: !GetAtt Log.Arn}}]}
Outputs:
  Check: {Value: !Ref Check}
  Machine: {Value: !Ref Machine}
"""


class FakeSystemsManager(BaseHTTPRequestHandler):
    """Keeps documents as the lab's Systems Manager does, and who asked for what."""

    documents: dict = {}
    calls: list = []

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        self.calls.append((operation, self.headers["Authorization"].split("/")[2]))
        answer = {}
        if operation in ("CreateDocument", "UpdateDocument"):
            versions = self.documents.setdefault(request["Name"], [])
            versions.append(json.loads(request["Content"]))
            answer = {"DocumentDescription": {"DocumentVersion": str(len(versions))}}
        elif operation == "DeleteDocument":
            del self.documents[request["Name"]]
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class CloudFormation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        harness.port()
        cls.server = ThreadingHTTPServer(("127.0.0.1", harness.Shared.ssm_port), FakeSystemsManager)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.stacks = client("cloudformation", WEST)

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def settled(self, name):
        def look():
            stack = self.stacks.describe_stacks(StackName=name)["Stacks"][0]
            return stack if not stack["StackStatus"].endswith("_IN_PROGRESS") else None

        stack = wait_for(look, 15, f"stack {name}")
        if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            events = self.stacks.describe_stack_events(StackName=name)["StackEvents"]
            reasons = [event.get("ResourceStatusReason") for event in events if "FAILED" in event["ResourceStatus"]]
            self.fail(f"{stack['StackStatus']}: {reasons}")
        return stack

    def deploy(self, name, template, operation="create_stack", **parameters):
        getattr(self.stacks, operation)(
            StackName=name,
            TemplateBody=template,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        return self.settled(name)

    def test_life_of_a_stack(self):
        stack = self.deploy("life", TEMPLATE)
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        check = outputs["Check"]
        self.check_systems_manager()
        self.check_route53(check)
        self.check_buckets()
        self.check_function()
        machine = client("stepfunctions", WEST).describe_state_machine(stateMachineArn=outputs["Machine"])
        self.assertEqual(machine["loggingConfiguration"]["level"], "ERROR")
        alarms = client("cloudwatch", WEST).describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        self.assertEqual([alarm["AlarmName"] for alarm in alarms], ["cfn-composite"])
        topic = alarms[0]["AlarmActions"][0]
        attributes = client("sns", WEST).get_topic_attributes(TopicArn=topic)["Attributes"]
        self.assertEqual(attributes["KmsMasterKeyId"], "alias/aws/sns")

        self.deploy("life", TEMPLATE, "update_stack", Text="two", Host="b.example.com")
        self.assertEqual(FakeSystemsManager.documents["lifeboat-fence"][1]["description"], "two")
        self.assertIn(("UpdateDocumentDefaultVersion", WEST), FakeSystemsManager.calls)
        config = client("route53").get_health_check(HealthCheckId=check)["HealthCheck"]
        self.assertEqual(config["HealthCheckConfig"]["FullyQualifiedDomainName"], "b.example.com")
        self.assertEqual(config["HealthCheckVersion"], 2)

        self.stacks.delete_stack(StackName="life")
        wait_for(lambda: not FakeSystemsManager.documents, 10, "the document to be deleted")
        wait_for(lambda: not client("route53").list_health_checks()["HealthChecks"], 10, "the checks to be deleted")

    def check_systems_manager(self):
        self.assertEqual(FakeSystemsManager.documents["lifeboat-fence"][0]["description"], "one")
        self.assertEqual(FakeSystemsManager.calls[0], ("CreateDocument", WEST))

    def check_route53(self, check):
        route53 = client("route53")
        config = route53.get_health_check(HealthCheckId=check)["HealthCheck"]["HealthCheckConfig"]
        self.assertIs(config["Inverted"], True)
        self.assertIs(config["Disabled"], False)
        every = route53.list_health_checks()["HealthChecks"]
        children = [entry["HealthCheckConfig"].get("ChildHealthChecks") for entry in every]
        self.assertIn([check], children)
        zone = route53.list_hosted_zones_by_name(DNSName="example.test")["HostedZones"][0]["Id"]
        records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        self.assertEqual([record["Failover"] for record in records if "Failover" in record], ["PRIMARY", "SECONDARY"])

    def check_buckets(self):
        s3 = client("s3", WEST)
        name = {"Bucket": "cfn-vault"}
        lock = s3.get_object_lock_configuration(**name)["ObjectLockConfiguration"]
        self.assertEqual(lock["Rule"]["DefaultRetention"], {"Mode": "GOVERNANCE", "Days": 7})
        rule = s3.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"][0]
        self.assertEqual(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "aws:kms")
        lifecycle = s3.get_bucket_lifecycle_configuration(**name)["Rules"][0]
        self.assertEqual((lifecycle["Filter"], lifecycle["Expiration"]["Days"]), ({"Prefix": "wal/"}, 30))
        self.assertEqual(lifecycle["NoncurrentVersionExpiration"]["NoncurrentDays"], 3)
        self.assertEqual(s3.get_bucket_tagging(**name)["TagSet"][0], {"Key": "app", "Value": "queue"})
        harness.role("replication", harness.ALL)
        s3.put_object(**name, Key="dump", Body=b"x")
        self.assertEqual(s3.get_object(Bucket="cfn-replica", Key="dump")["ReplicationStatus"], "REPLICA")

    def check_function(self):
        function = client("lambda", WEST).get_function(FunctionName="cfn-function")
        self.assertEqual(function["Concurrency"]["ReservedConcurrentExecutions"], 2)
        self.assertTrue(function["Configuration"]["DeadLetterConfig"]["TargetArn"].startswith("arn:aws:sqs:"))

    def test_unresolved_reference_is_refused(self):
        template = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "Nobody"}}}}}'
        with self.assertRaises(self.stacks.exceptions.ClientError) as refused:
            self.deploy("nobody", template)
        self.assertIn("Unresolved resource dependencies [Nobody]", str(refused.exception))

    def test_same_stack_in_two_regions_shares_no_role(self):
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "*"}, "Action": "sts:AssumeRole"}]}
        resources = {"Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}}}
        names = set()
        for region in (EAST, WEST):
            stacks = client("cloudformation", region)
            stacks.create_stack(
                StackName="twin", TemplateBody=json.dumps({"Resources": resources}), Capabilities=["CAPABILITY_IAM"]
            )

            def made():
                found = stacks.describe_stack_resources(StackName="twin")["StackResources"]
                return found and found[0]["ResourceStatus"] == "CREATE_COMPLETE" and found[0]["PhysicalResourceId"]

            names.add(wait_for(made, 10, "the role"))
        self.assertEqual(len(names), 2)

    def test_faulty_machine_fails_the_stack(self):
        faulty = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Nope"}}}
        properties = {"RoleArn": "arn:aws:iam::000000000000:role/x", "Definition": faulty}
        machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
        with self.assertRaisesRegex(AssertionError, "MISSING_TRANSITION_TARGET"):
            self.deploy("faulty", json.dumps({"Resources": {"M": machine}}))
        self.assertEqual(client("stepfunctions", WEST).list_state_machines()["stateMachines"], [])

    def test_a_creation_that_fails_leaves_what_is_retained_but_not_what_is_retained_except_on_create(self):
        # The machine fails because of its definition, after the bucket was made.
        faulty = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Nope"}}}
        properties = {"RoleArn": "arn:aws:iam::000000000000:role/x", "Definition": faulty}
        machine = {"Type": "AWS::StepFunctions::StateMachine", "DependsOn": "Bucket", "Properties": properties}
        for policy in ("Retain", "RetainExceptOnCreate"):
            name = f"of-{policy.lower()}"
            bucket = {"Type": "AWS::S3::Bucket", "DeletionPolicy": policy, "Properties": {"BucketName": name}}
            with self.assertRaisesRegex(AssertionError, "MISSING_TRANSITION_TARGET"):
                self.deploy(name, json.dumps({"Resources": {"Bucket": bucket, "Machine": machine}}))
            left = [made["Name"] for made in client("s3", WEST).list_buckets()["Buckets"]]
            self.assertEqual(name in left, policy == "Retain", policy)

    def test_reserving_what_must_stay_unreserved_fails_the_stack(self):
        def function(name, reserved):
            return {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": name,
                    "Runtime": "python3.11",
                    "Handler": "index.handler",
                    "Role": "arn:aws:iam::000000000000:role/x",
                    "Code": {"ZipFile": "def handler(event, context): return 1"},
                    "ReservedConcurrentExecutions": reserved,
                },
            }

        harness.role("x")
        with self.assertRaisesRegex(AssertionError, "below its minimum value of \\[100\\]"):
            self.deploy("greedy", json.dumps({"Resources": {"F": function("greedy", 901)}}))
        self.deploy("fitting", json.dumps({"Resources": {"F": function("fitting", 20)}}))
        self.addCleanup(client("lambda", WEST).delete_function_concurrency, FunctionName="fitting")
        with self.assertRaises(harness.ClientError) as refusal:
            client("lambda", WEST).put_function_concurrency(FunctionName="fitting", ReservedConcurrentExecutions=901)
        self.assertEqual(refusal.exception.response["Error"]["Code"], "InvalidParameterValueException")

    def test_stale_health_check_version_is_refused(self):
        route53 = client("route53")
        config = {"Type": "TCP", "IPAddress": "127.0.1.10", "Port": 80, "Disabled": True}
        made = route53.create_health_check(CallerReference="stale", HealthCheckConfig=config)["HealthCheck"]
        self.addCleanup(route53.delete_health_check, HealthCheckId=made["Id"])
        route53.update_health_check(HealthCheckId=made["Id"], HealthCheckVersion=1, Port=81)
        with self.assertRaises(route53.exceptions.HealthCheckVersionMismatch):
            route53.update_health_check(HealthCheckId=made["Id"], HealthCheckVersion=1, Port=82)


if __name__ == "__main__":
    unittest.main()
