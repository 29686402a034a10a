"""Many objects at once are what a PutObject of each would have made."""

import unittest
import urllib.error

from harness import client, lab


class Objects(unittest.TestCase):
    def test_each_is_there_with_a_version(self):
        s3 = client("s3")
        s3.create_bucket(Bucket="many")
        s3.put_bucket_versioning(Bucket="many", VersioningConfiguration={"Status": "Enabled"})
        objects = {f"folder/{number:05}": f"text {number}" for number in range(2500)}
        self.assertEqual(lab("POST", "objects", {"bucket": "many", "objects": objects}), {"put": 2500})
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="many")
        self.assertEqual([one["Key"] for page in pages for one in page["Contents"]], sorted(objects))
        answer = s3.get_object(Bucket="many", Key="folder/00042")
        self.assertEqual(answer["Body"].read(), b"text 42")
        self.assertNotIn(answer["VersionId"], (None, "null"))

    def test_a_bucket_that_is_not_there_is_an_error(self):
        with self.assertRaises(urllib.error.HTTPError) as refused:
            lab("POST", "objects", {"bucket": "none-such", "objects": {"key": "text"}})
        self.assertEqual(refused.exception.code, 400)


if __name__ == "__main__":
    unittest.main()
