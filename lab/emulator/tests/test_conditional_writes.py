"""The ledger's guard: of many writers of one key exactly one wins, and a stale one is refused."""

import unittest
from concurrent.futures import ThreadPoolExecutor

from harness import client


class ConditionalWrites(unittest.TestCase):
    def test_one_winner_and_no_stale_overwrite(self):
        s3 = client("s3", max_pool_connections=16)
        s3.create_bucket(Bucket="ledger")

        def put(body, **condition):
            try:
                return s3.put_object(Bucket="ledger", Key="epoch", Body=body, **condition)["ETag"]
            except s3.exceptions.ClientError as error:
                return error.response["Error"]["Code"]

        with ThreadPoolExecutor(max_workers=16) as writers:
            first = list(writers.map(lambda n: put(str(n).encode(), IfNoneMatch="*"), range(16)))
        self.assertEqual(first.count("PreconditionFailed"), 15)
        winner = next(answer for answer in first if answer != "PreconditionFailed")
        with ThreadPoolExecutor(max_workers=16) as writers:
            second = list(writers.map(lambda n: put(f"next {n}".encode(), IfMatch=winner), range(16)))
        self.assertEqual(second.count("PreconditionFailed"), 15)


if __name__ == "__main__":
    unittest.main()
