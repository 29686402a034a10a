"""GetBucketPolicyStatus says whether a bucket's policy makes it public.

AWS: answers IsPublic, and NoSuchBucketPolicy where there is none.
ministack: takes `?policyStatus` for a listing of the bucket, though it tells
public policies from others when it holds them against a public access block.
"""

from xml.etree.ElementTree import Element, SubElement, tostring

from ministack.services import s3

from .. import pin
from ..lab import Lab


def install(lab: Lab) -> None:
    pin.expect(s3, "_get_bucket_policy", "name")
    pin.expect(s3, "_policy_is_public", "policy_text")
    pin.replace(s3, "_dispatch", "method bucket key headers body query_params", _with_status)


def _with_status(dispatch):
    def wrapped(method, bucket, key, headers, body, query_params):
        if method != "GET" or key or not bucket or "policyStatus" not in query_params:
            return dispatch(method, bucket, key, headers, body, query_params)
        # Bucket and policy are missed in the same words.
        status, answer_headers, policy = s3._get_bucket_policy(bucket)
        if status != 200:
            return status, answer_headers, policy
        root = Element("PolicyStatus", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
        SubElement(root, "IsPublic").text = str(s3._policy_is_public(policy.decode())).lower()
        return 200, {"Content-Type": "application/xml"}, tostring(root)

    return wrapped
