"""The supervisor's standard output: never waited for, held back while the start is shown, gone without harm.

A terminal stopped with Ctrl-S, or a pipe nobody reads, must not stop the supervisor; so a thread writes, and what it
cannot write in time is counted instead.
"""

import io
import queue
import re
import sys
import threading
import time
from typing import IO

MOST_LINES = 5000
# The level of a line in both forms, coloured or not.
ALARMING = re.compile(r"""(\[|"level": ?")(\x1b\[[0-9;]*m)*(warning|error|critical)""")


class Console(io.TextIOBase):
    """A text stream of whole lines. While held, lines are kept; `release` writes those that matter, or all."""

    def __init__(self, target: IO[str] | None = None) -> None:
        self._target = target or sys.stdout
        self._waiting: queue.Queue[str] = queue.Queue(MOST_LINES)
        self._held: list[str] | None = None
        self._left_out = 0
        self._thread = threading.Thread(target=self._write_on, name="console", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Take text that ends with a newline."""
        if self._held is not None:
            if len(self._held) < MOST_LINES:
                self._held.append(text)
        else:
            self._put(text)
        return len(text)

    def isatty(self) -> bool:
        """Whether people read it."""
        return self._target.isatty()

    def hold(self) -> None:
        """Keep what comes, until `release`."""
        self._held = []

    def release(self, *, everything: bool) -> None:
        """Write what was held: everything, or only the lines that speak of trouble."""
        held, self._held = self._held or [], None
        for text in held:
            if everything or ALARMING.search(text):
                self._put(text)

    def drain(self, within_s: float = 2.0) -> None:
        """Wait until what was taken is written, but not for ever."""
        until = time.monotonic() + within_s
        while self._waiting.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)

    def _put(self, text: str) -> None:
        try:
            if self._left_out:
                self._waiting.put_nowait(f"({self._left_out} lines left out: nobody was reading)\n")
                self._left_out = 0
            self._waiting.put_nowait(text)
        except queue.Full:
            self._left_out += 1

    def _write_on(self) -> None:
        gone = False
        while True:
            text = self._waiting.get()
            try:
                if not gone:
                    self._target.write(text)
                    if self._waiting.empty():
                        self._target.flush()
            except (OSError, ValueError):  # the reader is gone; the service goes on
                gone = True
            finally:
                self._waiting.task_done()
