"""A warm function answers in milliseconds.

AWS: a warm invocation costs a few milliseconds beside the function's own time.
ministack: about 100 ms, from the delayed acknowledgement of small writes on the
runtime API's sockets, and from waiting 50 ms for a log line that may never come.
"""

import socketserver

from ministack.core import lambda_runtime

from .. import pin
from ..lab import Lab

# A line printed before the answer is in the pipe by then; one that comes later
# is filed with the next invocation's log, never lost.
_FIRST_LINE_WAIT_SECONDS = 0.008


def install(lab: Lab) -> None:
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
    pin.replace(
        lambda_runtime.Worker,
        "_drain_stderr_bounded",
        "self first_line_wait idle_confirm hard_cap",
        lambda original: lambda self, first_line_wait=_FIRST_LINE_WAIT_SECONDS: original(
            self, first_line_wait=first_line_wait
        ),
    )
