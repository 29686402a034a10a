"""Makes boto3 calls for the tests: one JSON object per line in, one per line out.

In:  {"region": "us-east-1", "call": "create_db_instance", "with": {...}}
Out: {"answer": {...}} or {"code": "...", "status": 400, "message": "..."}, and in both
     {"raw": {"operation": "CreateDBInstance", "status": 200, "body": "<...>"}}, which boto3 would read
     even where it does not fit the model of RDS
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint = sys.argv[1]
session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test")
config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20, parameter_validation=False)
clients = {}
raw = {}


def keep(operation_model, response_dict, **_):
    raw.update(operation=operation_model.name, status=response_dict["status_code"], body=response_dict["body"].decode())


def client(region):
    if region not in clients:
        clients[region] = session.client("rds", region_name=region, endpoint_url=endpoint, config=config)
        clients[region].meta.events.register("before-parse.rds", keep)
    return clients[region]


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = getattr(client(request["region"]), request["call"])(**request["with"])
        metadata = answer.pop("ResponseMetadata")
        assert metadata["RequestId"], "an answer names its request"
        result = {"answer": answer}
    except ClientError as error:
        response = error.response
        result = {
            "code": response["Error"]["Code"],
            "status": response["ResponseMetadata"]["HTTPStatusCode"],
            "message": response["Error"]["Message"],
            "exception": type(error).__name__,
        }
    print(json.dumps(result | {"raw": raw}, default=str), flush=True)
