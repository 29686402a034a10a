"""What is refused of a definition: one smallest bad machine for each rule, and the project's own machines."""

import json
import unittest
from pathlib import Path

import _path  # noqa: F401
from lab_emulator import asl

MACHINES = Path(__file__).resolve().parents[3] / "infra" / "statemachines"

CALL = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Arguments": {"FunctionName": "f"}, "End": True}
DONE = {"Type": "Succeed"}


def machine(language="JSONata", start=None, **states) -> dict:
    return {"QueryLanguage": language, "StartAt": start or next(iter(states)), "States": states}


def call(**more) -> dict:
    """A machine of one task, with more fields; what it catches leads to Done."""
    return machine(Call={**CALL, **more}, **({"Done": DONE} if "Catch" in more else {}))


def part(**states) -> dict:
    """What a branch or an item processor is."""
    return {"StartAt": next(iter(states)), "States": states}


def inside(kind: str, **states) -> dict:
    """The states in the one branch of a Parallel, or in the processor of a Map."""
    if kind == "Parallel":
        return {"Type": "Parallel", "Branches": [part(**states)], "End": True}
    return {"Type": "Map", "Items": [1], "ItemProcessor": part(**states), "End": True}


def choice(condition="{% true %}", default="Done", **more) -> dict:
    """A choice between Done and `default`; `more` is the rule's."""
    return {"Type": "Choice", "Choices": [{"Condition": condition, "Next": "Done", **more}], "Default": default}


def retry(**more) -> dict:
    return call(Retry=[{"ErrorEquals": ["A"], **more}])


def catch(*errors, **more) -> dict:
    return {"ErrorEquals": list(errors), "Next": "Done", **more}


def codes(definition) -> list[str]:
    text = definition if isinstance(definition, str) else json.dumps(definition)
    return [f"{problem.code} {problem.location}" for problem in asl.check(text)]


SCHEMA = "SCHEMA_VALIDATION_FAILED"
TARGET = "MISSING_TRANSITION_TARGET"

# What is wrong, the machine, and the first fault that is found, as its code and place.
BAD = (
    ("nothing at all", "", "MISSING_DESCRIPTION /"),
    ("no JSON", "{", "INVALID_JSON_DESCRIPTION /"),
    ("no object", "[]", "INVALID_JSON_DESCRIPTION /"),
    ("too large", machine(Done={**DONE, "Comment": "x" * (1 << 20)}), f"{SCHEMA} /"),
    ("a name twice in one object", '{"StartAt":"A","States":{"A":{"Type":"Fail"},"A":{"Type":"Fail"}}}', f"{SCHEMA} /"),
    ("no states", {"StartAt": "A", "States": {}}, f"{SCHEMA} /States"),
    ("an unknown type", machine(Done={"Type": "Success"}), f"{SCHEMA} /States/Done/Type"),
    ("a field of no machine", {**machine(Done=DONE), "Timeout": 3}, f"{SCHEMA} /Timeout"),
    ("a limit in words", {**machine(Done=DONE), "TimeoutSeconds": "60"}, f"{SCHEMA} /TimeoutSeconds"),
    # Names.
    (
        "a name of the machine used again in a Map",
        machine(Done=inside("Map", In={"Type": "Pass", "Next": "Done"}, Done=DONE)),
        "DUPLICATE_STATE_NAME /States/Done/ItemProcessor/States/Done",
    ),
    (
        "a name used in two branches",
        machine(Both={"Type": "Parallel", "Branches": [part(Same=DONE)] * 2, "End": True}),
        "DUPLICATE_STATE_NAME /States/Both/Branches[1]/States/Same",
    ),
    ("a long name", machine(**{"N" * 81: DONE}), f"INVALID_STATE_NAME /States/{'N' * 81}"),
    ("a name of two lines", machine(**{"A\nB": DONE}), "INVALID_STATE_NAME /States/A\nB"),
    # Transitions.
    ("a start that is not there", machine(start="Nope", Done=DONE), f"{TARGET} /StartAt"),
    ("a Next that is not there", machine(A={"Type": "Pass", "Next": "Nope"}, B=DONE), f"{TARGET} /States/A/Next"),
    (
        "a Next out of a branch",
        machine(Both=inside("Parallel", In={"Type": "Pass", "Next": "Both"}, Out=DONE)),
        f"{TARGET} /States/Both/Branches[0]/States/In/Next",
    ),
    ("a Default that is not there", machine(Is=choice(default="No"), Done=DONE), f"{TARGET} /States/Is/Default"),
    ("a state that nothing leads to", machine(A=DONE, B=DONE), f"{TARGET} /States/B"),
    ("no end", machine(A={"Type": "Pass", "Next": "A"}), "MISSING_END_STATE /States"),
    ("neither Next nor End", machine(A={"Type": "Pass"}), f"{SCHEMA} /States/A"),
    ("Next and End", machine(A={"Type": "Pass", "Next": "B", "End": True}, B=DONE), f"{SCHEMA} /States/A"),
    ("a way on from Succeed", machine(A={**DONE, "End": True}), f"{SCHEMA} /States/A/End"),
    # Handlers.
    (
        "States.ALL among names in Catch",
        call(Catch=[catch("Refused", "States.ALL")]),
        f"{SCHEMA} /States/Call/Catch[0]/ErrorEquals",
    ),
    (
        "States.ALL before another catcher",
        call(Catch=[catch("States.ALL"), catch("Refused")]),
        f"{SCHEMA} /States/Call/Catch[0]/ErrorEquals",
    ),
    (
        "States.ALL among names in Retry",
        retry(ErrorEquals=["Transient", "States.ALL"]),
        f"{SCHEMA} /States/Call/Retry[0]/ErrorEquals",
    ),
    (
        "States.ALL before another retrier",
        call(Retry=[{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["A"]}]),
        f"{SCHEMA} /States/Call/Retry[0]/ErrorEquals",
    ),
    ("a retrier of nothing", retry(ErrorEquals=[]), f"{SCHEMA} /States/Call/Retry[0]/ErrorEquals"),
    ("a catcher without Next", call(Catch=[catch("A", Next=1)]), f"{SCHEMA} /States/Call/Catch[0]"),
    ("a retry after no time", retry(IntervalSeconds=0), f"{SCHEMA} /States/Call/Retry[0]/IntervalSeconds"),
    ("fewer attempts than none", retry(MaxAttempts=-1), f"{SCHEMA} /States/Call/Retry[0]/MaxAttempts"),
    ("a backoff that shrinks", retry(BackoffRate=0.5), f"{SCHEMA} /States/Call/Retry[0]/BackoffRate"),
    ("a delay of a year", retry(MaxDelaySeconds=31_622_400), f"{SCHEMA} /States/Call/Retry[0]/MaxDelaySeconds"),
    ("an unknown jitter", retry(JitterStrategy="HALF"), f"{SCHEMA} /States/Call/Retry[0]/JitterStrategy"),
    # Fields.
    ("a ResultPath", call(ResultPath="$.x"), f"{SCHEMA} /States/Call/ResultPath"),
    ("Parameters", call(Parameters={}), f"{SCHEMA} /States/Call/Parameters"),
    ("an InputPath", machine(A={**DONE, "InputPath": "$"}), f"{SCHEMA} /States/A/InputPath"),
    (
        "a ResultPath in a catcher",
        call(Catch=[catch("A", ResultPath="$.e")]),
        f"{SCHEMA} /States/Call/Catch[0]/ResultPath",
    ),
    ("JSONata's field in JSONPath", machine("JSONPath", Call=CALL), f"{SCHEMA} /States/Call/Arguments"),
    ("JSONPath in JSONata", machine(A={**DONE, "QueryLanguage": "JSONPath"}), f"{SCHEMA} /States/A/QueryLanguage"),
    ("Assign where nothing follows", machine(A={**DONE, "Assign": {"a": 1}}), f"{SCHEMA} /States/A/Assign"),
    ("a task without a resource", machine(A={"Type": "Task", "End": True}), f"{SCHEMA} /States/A"),
    ("a resource that is none", call(Resource="lambda"), "INVALID_RESOURCE /States/Call/Resource"),
    (
        "an action that no service has",
        call(Resource="arn:aws:states:::aws-sdk:ssm:getParameterByPath"),
        "INVALID_RESOURCE /States/Call/Resource",
    ),
    (
        "an action that begins with a capital",
        call(Resource="arn:aws:states:::aws-sdk:ssm:GetParameter"),
        "INVALID_RESOURCE /States/Call/Resource",
    ),
    (
        "a heartbeat as long as the task",
        call(TimeoutSeconds=30, HeartbeatSeconds=30),
        f"{SCHEMA} /States/Call/HeartbeatSeconds",
    ),
    ("no time for a task", call(TimeoutSeconds=0), f"{SCHEMA} /States/Call/TimeoutSeconds"),
    ("a wait for nothing", machine(A={"Type": "Wait", "End": True}), f"{SCHEMA} /States/A"),
    ("a choice of nothing", machine(Is={**choice(), "Choices": []}, Done=DONE), f"{SCHEMA} /States/Is/Choices"),
    ("a condition in words", machine(Is=choice("yes"), Done=DONE), f"{SCHEMA} /States/Is/Choices[0]/Condition"),
    ("no branch", machine(A={"Type": "Parallel", "Branches": [], "End": True}), f"{SCHEMA} /States/A/Branches"),
    ("a Map without a processor", machine(A={"Type": "Map", "Items": [], "End": True}), f"{SCHEMA} /States/A"),
    (
        "a concurrency below none",
        machine(Each={**inside("Map", In=DONE), "MaxConcurrency": -1}),
        f"{SCHEMA} /States/Each/MaxConcurrency",
    ),
    (
        "a reader in an inline Map",
        machine(Each={**inside("Map", In=DONE), "ItemReader": {}}),
        f"{SCHEMA} /States/Each/ItemReader",
    ),
    # Expressions.
    (
        "an expression that does not parse",
        call(Output={"x": ["{% $states.result. %}"]}),
        "INVALID_JSONATA_EXPRESSION /States/Call/Output/x[0]",
    ),
    ("an expression that is not closed", call(Output="{% 1"), f"{SCHEMA} /States/Call/Output"),
    ("a space before an expression", call(Output=" {% 1 %}"), f"{SCHEMA} /States/Call/Output"),
    ("no member of $states", call(Output="{% $states.results %}"), f"{SCHEMA} /States/Call/Output"),
    ("a result too early", call(Arguments={"a": "{% $states.result %}"}), f"{SCHEMA} /States/Call/Arguments/a"),
    ("an error outside a Catch", call(Output="{% $states.errorOutput %}"), f"{SCHEMA} /States/Call/Output"),
    (
        "a result in a Catch",
        call(Catch=[catch("A", Output="{% $states.result %}")]),
        f"{SCHEMA} /States/Call/Catch[0]/Output",
    ),
    # Variables.
    ("a variable that nobody assigns", machine(A={**DONE, "Output": "{% $lost %}"}), f"{SCHEMA} /States/A/Output"),
    ("a function that is not there", machine(A={**DONE, "Output": "{% $eval('1') %}"}), f"{SCHEMA} /States/A/Output"),
    (
        "a variable of the state's own Assign",
        machine(A={"Type": "Pass", "Assign": {"a": 1, "b": "{% $a %}"}, "End": True}),
        f"{SCHEMA} /States/A/Assign/b",
    ),
    (
        "a variable that one rule assigns, and the default does not",
        machine(Is=choice(Assign={"a": 1}), Done={**DONE, "Output": "{% $a %}"}),
        f"{SCHEMA} /States/Done/Output",
    ),
    (
        "a variable that the error's path does not assign",
        machine(
            Both={**inside("Parallel", In=DONE), "Assign": {"a": 1}, "Catch": [catch("States.ALL")]},
            Done={**DONE, "Output": "{% $a %}"},
        ),
        f"{SCHEMA} /States/Done/Output",
    ),
    (
        "a variable that only a loop assigns",
        machine(
            Is=choice("{% $n > 1 %}", default="Again"),
            Again={"Type": "Pass", "Assign": {"n": 2}, "Next": "Is"},
            Done=DONE,
        ),
        f"{SCHEMA} /States/Is/Choices[0]/Condition",
    ),
    (
        "a variable of a branch, read after it",
        machine(
            Both={
                **inside("Parallel", In={"Type": "Pass", "Assign": {"a": 1}, "End": True}),
                "Output": "{% $a %}",
            }
        ),
        f"{SCHEMA} /States/Both/Output",
    ),
    (
        "a variable of the states around a Map, assigned in it",
        machine(
            Set={"Type": "Pass", "Assign": {"a": 1}, "Next": "Each"},
            Each=inside("Map", In={"Type": "Pass", "Assign": {"a": 2}, "End": True}),
        ),
        f"{SCHEMA} /States/Each/ItemProcessor/States/In/Assign/a",
    ),
    (
        "a variable read in a distributed Map",
        machine(
            Set={"Type": "Pass", "Assign": {"a": 1}, "Next": "Each"},
            Each={
                **inside("Map", In=DONE),
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    **part(In={**DONE, "Output": "{% $a %}"}),
                },
            },
        ),
        f"{SCHEMA} /States/Each/ItemProcessor/States/In/Output",
    ),
    (
        "a variable called states",
        machine(A={"Type": "Pass", "Assign": {"states": 1}, "End": True}),
        f"{SCHEMA} /States/A/Assign/states",
    ),
)


class Refused(unittest.TestCase):
    def test_each_rule_refuses_its_smallest_bad_machine(self):
        for what, bad, fault in BAD:
            with self.subTest(what):
                found = codes(bad)
                self.assertEqual(found[0], fault)
                # What leads nowhere leaves the state unreached that it would have led to.
                self.assertTrue(all(more.startswith((TARGET, "MISSING_END")) for more in found[1:]), found)

    def test_a_variable_is_found_wherever_an_expression_may_have_it(self):
        for expression in (
            "1 + $lost",
            "-$lost",
            "$lost ? 1 : 2",
            "true ? $lost : 2",
            "false ? 1 : $lost",
            "[1..$lost]",
            "{'a': $lost}",
            "{$lost: 1}",
            "$sum($lost)",
            "$lost(1)",
            "$substring(?, $lost)",
            "$states.input ~> $lost",
            "$states.input[x = $lost]",
            "$states.input^(>$lost)",
            "$states.input{$lost: 1}",
            "$states.input.{'a': $lost}",
            "$states.input ~> |a|{'b': $lost}|",
            "$states.input ~> |a|{}, [$lost]|",
            "$states.input.($a := 1; $lost)",
            "($lost + ($lost := 1))",
            "(($lost := 1); $lost)",
            "function($x){ $lost }(1)",
            "$map([1], function($lost){ 1 }) ~> $append($lost)",
            "$lost.a.b",
            "$lost[0]",
            "$$.a = $lost",
        ):
            with self.subTest(expression):
                definition = machine(A={**DONE, "Output": "{% " + expression + " %}"})
                self.assertEqual(codes(definition), [f"{SCHEMA} /States/A/Output"])

    def test_all_faults_are_given_at_once(self):
        definition = call(ResultPath="$", TimeoutSeconds=0, Catch=[catch("A", "States.ALL")])
        self.assertEqual(len(codes(definition)), 3)


class Accepted(unittest.TestCase):
    def test_what_the_service_takes(self):
        for what, definition in {
            "a heartbeat below the limit": call(TimeoutSeconds=30, HeartbeatSeconds=29),
            "States.ALL alone and last": call(
                Retry=[{"ErrorEquals": ["A"]}, {"ErrorEquals": ["States.ALL"]}],
                Catch=[catch("A"), catch("States.ALL", Assign={"e": "{% $states.errorOutput.Error %}"})],
            ),
            "an action of an SDK": call(Resource="arn:aws:states:::aws-sdk:cloudwatchlogs:putLogEvents"),
            "an action, answered later": call(Resource="arn:aws:states:::aws-sdk:ssm:getParameter.waitForTaskToken"),
            "limits as expressions": call(TimeoutSeconds="{% $states.input.limit %}"),
            "names that an expression binds itself": call(
                Output="{% ($e := $states.result; $f := function($x) { $x > 1 ? $f($x - 1) : $e }; $map([1], $f)) %}"
            ),
            "positions and contexts": call(Output="{% $states.result.items@$i#$p.{'i': $i, 'p': $p} %}"),
            "the service's own functions": call(Output="{% $parse($string($partition([1], 2))) & $uuid() %}"),
            "a variable that every path assigns": machine(
                Is={**choice(Assign={"a": 1}), "Assign": {"a": 2}}, Done={**DONE, "Output": "{% $a %}"}
            ),
            "two branches with a variable of one name": machine(
                Both={
                    "Type": "Parallel",
                    "Branches": [part(**{n: {"Type": "Pass", "Assign": {"own": 1}, "End": True}}) for n in "LR"],
                    "End": True,
                }
            ),
            "a variable read further in": machine(
                Set={"Type": "Pass", "Assign": {"a": 1}, "Next": "Each"},
                Each=inside("Map", In={**DONE, "Output": "{% $a %}"}),
            ),
            "JSONPath": machine(
                "JSONPath",
                Is={
                    "Type": "Choice",
                    "Choices": [
                        {"Not": {"Variable": "$.x", "IsPresent": True}, "Next": "Done"},
                        {"Variable": "$.x", "NumericEquals": 1, "Next": "Done"},
                    ],
                    "Default": "Done",
                },
                Done={**DONE, "InputPath": "$.x"},
            ),
            "JSONata in one state": machine("JSONPath", A={**DONE, "QueryLanguage": "JSONata", "Output": "{% 1 %}"}),
        }.items():
            with self.subTest(what):
                self.assertEqual(asl.check(json.dumps(definition)), [])

    def test_the_machines_of_the_project(self):
        found = sorted(MACHINES.glob("*.asl.json"))
        self.assertGreaterEqual(len(found), 6)
        for path in found:
            with self.subTest(path.name):
                self.assertEqual([str(problem) for problem in asl.check(path.read_text())], [])


if __name__ == "__main__":
    unittest.main()
