"""What may be tried where, and what is refused before anything is touched."""

import sys
import unittest
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import account  # noqa: E402
import cleanup  # noqa: E402
import deployment  # noqa: E402
import rows  # noqa: E402

EMPTY = account.Seen("123456789012", [], [], [], [], [])


def options(**given):
    told = {"regions": ["us-east-1", "us-west-2"], "witness": None, "account": None, "yes": False, "existing": None, "remove": False}
    return SimpleNamespace(**{**told, **given})


class Refusals(unittest.TestCase):
    def test_an_empty_account_is_taken(self):
        self.assertIsNone(account.refusal(EMPTY, options()))

    def test_what_looks_like_production_is_not(self):
        for seen in [
            replace(EMPTY, aliases=["acme-prod"]),
            replace(EMPTY, aliases=["production"]),
            replace(EMPTY, databases=["orders", "users", "ledger", "search"]),
            replace(EMPTY, stacks=[f"stack-{n}" for n in range(11)]),
            replace(EMPTY, ours=["us-east-1"], stacks=["lifeboat"]),
            replace(EMPTY, buckets=["lifeboat-ledger-123456789012-us-east-1"]),
        ]:
            self.assertIsNotNone(account.refusal(seen, options()), seen)

    def test_names_that_only_contain_the_word_are_fine(self):
        for alias in ["acme-products-sandbox", "oliver", "deliveries-dev"]:
            self.assertIsNone(account.refusal(replace(EMPTY, aliases=[alias]), options()), alias)

    def test_a_wrong_profile_is_noticed(self):
        self.assertIn("--account", account.refusal(EMPTY, options(yes=True)))
        self.assertIn("not 210987654321", account.refusal(EMPTY, options(account="210987654321", yes=True)))

    def test_existing_stacks_are_used_in_both_regions_or_not_at_all(self):
        there = replace(EMPTY, ours=["us-east-1", "us-west-2"], databases=["a", "b", "c", "d"])
        self.assertIsNone(account.refusal(there, options(existing="queue")))
        self.assertIsNotNone(account.refusal(replace(EMPTY, ours=["us-east-1"]), options(existing="queue")))

    def test_only_what_is_tagged_is_removed(self):
        self.assertTrue(cleanup.is_ours([{"Key": "app", "Value": "lifeboat"}, {"Key": account.TAG, "Value": "1"}]))
        self.assertFalse(cleanup.is_ours([{"Key": "app", "Value": "lifeboat"}]))


class Rows(unittest.TestCase):
    def test_no_substitution_is_left_in_a_definition(self):
        for path in sorted((Path(__file__).parents[2] / "statemachines").glob("*.asl.json")):
            filled = deployment.filled(path.read_text())
            self.assertNotIn("${", filled, path.name)
            self.assertNotIn("arn:arn:", filled, path.name)

    def test_the_estimate_counts_only_what_is_tried(self):
        all_minutes, all_dollars = rows.estimate(rows.tried(rows.ALL, False, True))
        minutes, dollars = rows.estimate(rows.tried(rows.ALL, True, True))
        self.assertGreater(all_minutes, minutes)
        self.assertGreater(all_dollars, dollars)

    def test_without_a_zone_no_switch_is_announced(self):
        self.assertEqual(rows.tried(rows.ALL, False, True), rows.ALL)
        self.assertNotIn("switch", [row.name for row in rows.tried(rows.ALL, False, False)])


if __name__ == "__main__":
    unittest.main()
