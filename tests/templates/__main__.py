"""Holds templates against what AWS says: python tests/templates infra/*.yaml

cfn-lint knows resources and their properties. What is inside a policy it takes as it is: an action that
nobody has, a resource of a form that the action does not take, a condition key that is never set, a
policy that is too long. Each of them is accepted by a deployment, or fails it half-way, and shows when
the permission is needed. Exit code 1 when something is found.
"""

import sys

import policies
import sizes
import template


def check(path: str) -> list[str]:
    """What is wrong with the template, each with its place."""
    source, found = template.transformed(path)
    for world in template.worlds(source):
        found += policies.check(world)
        found += sizes.check(world)
    found += sizes.check_template(path, source)
    return sorted(set(found))


def main(paths: list[str]) -> int:
    wrong = 0
    for path in paths:
        for finding in check(path):
            wrong += 1
            print(f"{path}: {finding}", file=sys.stderr)
    if not wrong:
        print(f"policies and sizes: {len(paths)} templates, nothing found")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
