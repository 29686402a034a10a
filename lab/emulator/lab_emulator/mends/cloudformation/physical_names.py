"""Names that CloudFormation makes up differ from region to region.

AWS: a random suffix, so that the same stack in two regions never makes two IAM
roles of the same name.
ministack: a suffix hashed from the stack's and the resource's names alone. IAM
is global, so the second region's stack overwrites the first one's roles, and
everything in the first region loses its permissions.
"""

import hashlib

from ministack.core.responses import get_region
from ministack.services.cloudformation import provisioners

from ...lab import Lab
from ...pin import replace

_SUFFIX = 13


def install(_lab: Lab) -> None:
    def make(original):
        def physical_name(stack_name, logical_id, *, lowercase=False, max_len=128, seeded=True):
            name = original(stack_name, logical_id, lowercase=lowercase, max_len=max_len, seeded=seeded)
            suffix = hashlib.sha256(f"{name}:{get_region()}".encode()).hexdigest()[:_SUFFIX]
            return name[:-_SUFFIX] + (suffix if lowercase else suffix.upper())

        return physical_name

    replace(provisioners, "_physical_name", "stack_name logical_id lowercase max_len seeded", make)
