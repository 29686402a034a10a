"""The alarm rules, with the tables of CloudWatch's user guide as cases."""

import unittest

from _path import alarm_rules

PERIOD = 10
# 0 = within the threshold, X = breaching, - = missing; newest on the right.
THREE_OF_THREE = [
    # data, missing, ignore, breaching, notBreaching; None = the state stays
    ("0 - X - X", "OK", "OK", "OK", "OK"),
    ("0 - - - -", "OK", "OK", "OK", "OK"),
    ("- - - - -", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
    ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("- - X - -", "ALARM", None, "ALARM", "OK"),
]
TWO_OF_THREE = [
    ("0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 - X - -", "OK", "OK", "ALARM", "OK"),
    ("- - - - 0", "OK", "OK", "ALARM", "OK"),
    ("- - - X -", "ALARM", None, "ALARM", "OK"),
]
MODES = ("missing", "ignore", "breaching", "notBreaching")


def rule(**changes):
    values = {
        "statistic": "Sum",
        "comparison": "GreaterThanThreshold",
        "threshold": 0.5,
        "period": PERIOD,
        "evaluation_periods": 3,
        "datapoints_to_alarm": 3,
        "treat_missing": "missing",
    }
    return alarm_rules.Rule(**{**values, **changes})


def points(text):
    """The datapoints of a row of the tables, in periods that end at 1000."""
    marks = text.split()
    start = 1000 - PERIOD * len(marks)
    values = {"0": 0.0, "X": 1.0}
    return [
        (start + index * PERIOD + 3, 1.0, values[mark], values[mark], values[mark])
        for index, mark in enumerate(marks)
        if mark in values
    ]


def state(the_rule, text, current="OK", now=1000.5):
    return alarm_rules.evaluate(the_rule, current, points(text), now).state


class UserGuideTables(unittest.TestCase):
    def check(self, table, needed):
        for text, *expected in table:
            for mode, want in zip(MODES, expected):
                for current in ("OK", "ALARM", "INSUFFICIENT_DATA"):
                    with self.subTest(data=text, needed=needed, mode=mode, current=current):
                        the_rule = rule(treat_missing=mode, datapoints_to_alarm=needed)
                        self.assertEqual(state(the_rule, text, current), want or current)

    def test_three_of_three(self):
        self.check(THREE_OF_THREE, 3)

    def test_two_of_three(self):
        self.check(TWO_OF_THREE, 2)

    def test_premature_alarm_is_avoided(self):
        for text in ("- - - - X", "- - - X -"):
            self.assertEqual(state(rule(), text, "OK"), "OK")
        self.assertEqual(state(rule(), "- - X - -", "OK"), "ALARM")


class Datapoints(unittest.TestCase):
    def test_open_period_is_not_evaluated(self):
        open_period = [(1003, 1.0, 1.0, 1.0, 1.0)]
        single = rule(evaluation_periods=1, datapoints_to_alarm=1)
        self.assertEqual(alarm_rules.evaluate(single, "OK", open_period, 1009.9).state, "INSUFFICIENT_DATA")
        self.assertEqual(alarm_rules.evaluate(single, "OK", open_period, 1010).state, "ALARM")

    def test_statistics(self):
        data = [(993, 2.0, 6.0, 1.0, 5.0), (994, 1.0, 3.0, 3.0, 3.0)]
        for statistic, value in (("SampleCount", 3), ("Sum", 9), ("Average", 3), ("Minimum", 1), ("Maximum", 5)):
            the_rule = rule(statistic=statistic, evaluation_periods=1, datapoints_to_alarm=1)
            verdict = alarm_rules.evaluate(the_rule, "OK", data, 1000)
            self.assertEqual(verdict.datapoints[-1], (990, value), statistic)

    def test_comparisons(self):
        cases = {
            "GreaterThanOrEqualToThreshold": "OK ALARM ALARM",
            "GreaterThanThreshold": "OK OK ALARM",
            "LessThanOrEqualToThreshold": "ALARM ALARM OK",
            "LessThanThreshold": "ALARM OK OK",
        }
        for comparison, states in cases.items():
            for value, want in zip((1.0, 2.0, 3.0), states.split()):
                the_rule = rule(comparison=comparison, threshold=2.0, evaluation_periods=1, datapoints_to_alarm=1)
                data = [(995, 1.0, value, value, value)]
                self.assertEqual(alarm_rules.evaluate(the_rule, "OK", data, 1000).state, want, (comparison, value))

    def test_evaluation_interval(self):
        self.assertEqual([alarm_rules.evaluation_interval(p) for p in (10, 30, 60, 300)], [10, 30, 60, 60])

    def test_datapoints_to_alarm_defaults_to_all(self):
        self.assertEqual(alarm_rules.Rule.of({"EvaluationPeriods": 4}).datapoints_to_alarm, 4)


if __name__ == "__main__":
    unittest.main()
