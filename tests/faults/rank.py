"""Who goes first: visitors have machines of their own, and must not be held up by what the service does to this one.

Without the right to raise a priority, as others than root have it, all are equal: a run that holds visitors up says so.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RAISED = -10


@contextmanager
def first() -> Iterator[None]:
    """Let the calling thread, which plays the visitors, go before others, where that may be."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, RAISED)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, usual)


def beneath() -> tuple[str, ...]:
    """Put before a command, this starts it with the usual priority, as the same process."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    return ("nice", "-n", str(-own)) if own < 0 else ()
