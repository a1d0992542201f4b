"""How far what is stored lies behind what was sent at a constant rate."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.stored import Counts, database

LOOKED_EVERY_S = 0.1


class Lag:
    """The longest lag seen: how long ago the hit was due, of those sent so far, that is the last one stored now."""

    def __init__(self, url: str, rate: float) -> None:
        self.url, self.rate, self.longest_s = url, rate, 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Start looking; hits are due from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        with database(self.url) as db:
            before, began = db.settled(), time.monotonic()
            while not self._stopped.wait(LOOKED_EVERY_S):
                self.longest_s = max(self.longest_s, lag_s(db.settled() - before, time.monotonic() - began, self.rate))


def lag_s(settled: Counts, since_s: float, rate: float) -> float:
    """How long before `since_s` the hit was due, at `rate` from 0 on, that is the last one settled."""
    return max(0.0, since_s - (settled.stored + settled.not_counted) / rate)


@contextmanager
def lag_at(url: str, rate: float) -> Iterator[Lag]:
    """Watch the lag while hits are sent at `rate`; without a rate there is none to speak of."""
    lag = Lag(url, rate)
    if not rate:
        yield lag
        return
    lag.start()
    try:
        yield lag
    finally:
        lag.stop()
