"""What a call is about, where ministack takes it for something else.

AWS: `route53:GetChange` is allowed on `arn:aws:route53:::change/<id>`;
`elasticache:DescribeSnapshots` on snapshots, also where it asks for those of one
replication group (service authorization reference).
ministack: asks for the first on `*`, and for the second on the replication group,
and so refuses what such policies allow.
"""

from ministack.core import iam_actions

from .. import pin
from ..lab import Lab

_PARAMETERS = "service method path headers body query_params region account_id"


def install(_lab: Lab) -> None:
    pin.expect(iam_actions, "_query_param", "query_params key")
    pin.replace(iam_actions, "extract_resource_arn", _PARAMETERS, _with_changes)


def _with_changes(original):
    def resource(service, method, path, headers, body, query_params, region, account_id):
        parts = [part for part in path.split("/") if part]
        if service == "route53" and len(parts) == 3 and parts[1] == "change":
            return f"arn:aws:route53:::change/{parts[2]}"
        if service == "elasticache" and iam_actions._query_param(query_params, "Action") == "DescribeSnapshots":
            name = iam_actions._query_param(query_params, "SnapshotName") or "*"
            return f"arn:aws:elasticache:{region}:{account_id}:snapshot:{name}"
        return original(service, method, path, headers, body, query_params, region, account_id)

    return resource
