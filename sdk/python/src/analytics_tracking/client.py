"""The client: hits are put into a buffer at once and sent in batches by a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import logging
import os
import random
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Union

from analytics_tracking.transport import Answer, Transport, Unreachable
from analytics_tracking.visitors import visitor_of

log = logging.getLogger("analytics_tracking")

Website = Union[str, int, None]
"""A pixel key, a website's id (needs a token), or None for the client's own key."""

MOST_HITS = 1000
MOST_BYTES = 900_000
OUT_OF_DATE_S = 86_000
"""The service takes hits of at most a day ago."""
LET_GO_AFTER = 10
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(frozen=True)
class Counts:
    """What became of the hits so far; those that wait are in none but `waiting`."""

    sent: int = 0
    """Taken by the service."""
    ignored: int = 0
    """Of visitors who opted out."""
    refused: int = 0
    """Wrong, said the service; the log says why."""
    dropped: int = 0
    """Not sent: the buffer was full, or they had waited for a day."""
    waiting: int = 0


@dataclass
class _Hit:
    website: Website
    body: dict[str, Any]
    made_at: float


class AnalyticsTracking:
    """Reports hits in the background. One of it serves a whole process; it may be used from any thread or task.

    `track` puts a hit into a buffer and returns: it never waits for the network and never raises. A thread sends what
    waits every `every_s` seconds, or as soon as `batch` hits do. What the service does not take is sent again, with the
    same id, so it is never counted twice, with growing pauses, for a day. At most `buffer` hits wait; of more, the new
    ones are dropped and counted. What waits is sent at exit, for `exit_within_s` at most.

    A `token` with the scope `write` lets hits carry the visitor's address, user agent and time; without one, send a
    `visitor_id`, or all hits of your server are one visitor's.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        token: str = "",
        *,
        buffer: int = 10_000,
        batch: int = 500,
        every_s: float = 1.0,
        timeout_s: float = 10.0,
        exit_within_s: float = 5.0,
        visitor_header: str = "X-Visitor-ID",
        honour_opt_out: bool = True,
    ) -> None:
        if not (key or token):
            raise ValueError("a pixel key or a token is needed")
        self.key = key
        self.buffer, self.batch, self.every_s = buffer, min(batch, MOST_HITS), every_s
        self.exit_within_s, self.visitor_header, self.honour_opt_out = exit_within_s, visitor_header, honour_opt_out
        self._transport = Transport(url, token, timeout_s)
        self._reports_others = bool(token)
        self._keys: dict[int, str] = {}
        self._start()
        atexit.register(_close, weakref.ref(self))
        os.register_at_fork(after_in_child=functools.partial(_start_again, weakref.ref(self)))

    def _start(self) -> None:
        self._waiting: deque[_Hit] = deque()
        self._under_way = 0
        self._counts = Counts()
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._transport.forget()

    # What the application calls.

    def track(self, website: Website, hit: Mapping[str, Any], request: Any = None) -> str:
        """Have a hit reported; returns its id. `hit` is what `POST /analytics/track` takes, without the key.

        From `request` (of Django, Flask, Starlette, FastAPI or aiohttp) come the visitor's address, user agent,
        language and id (by the header `visitor_header`), host, path and referrer, where `hit` does not say them.
        """
        body: dict[str, Any] = {}
        try:
            body.update(hit)
            body["id"] = str(body.get("id") or uuid.uuid4())
            if request is not None and not self._take_over(body, request):
                with self._lock:
                    self._counts = replace(self._counts, ignored=self._counts.ignored + 1)
                return str(body["id"])
            now = time.time()
            if self._reports_others:
                body.setdefault("timestamp", _iso(now))
            self._put(_Hit(website, body, now))
        except Exception:  # the application's own work is not to suffer
            log.exception("a hit could not be taken")
        return str(body.get("id", ""))

    async def atrack(self, website: Website, hit: Mapping[str, Any], request: Any = None) -> str:
        """The same, to be awaited; it does not wait for anything either."""
        return self.track(website, hit, request)

    def flush(self, within_s: float = 10.0) -> bool:
        """Send what waits now; returns whether all of it was taken in time. Blocks: in a task, await `aflush`."""
        if self._closed or not self.counts().waiting:
            return not self.counts().waiting
        self._run()
        self._wake.set()
        with self._settled:
            return self._settled.wait_for(lambda: not self._waiting and not self._under_way, within_s)

    async def aflush(self, within_s: float = 10.0) -> bool:
        """The same, without blocking the loop."""
        return await asyncio.get_running_loop().run_in_executor(None, self.flush, within_s)

    def counts(self) -> Counts:
        """What became of the hits so far."""
        with self._lock:
            return replace(self._counts, waiting=len(self._waiting) + self._under_way)

    def close(self) -> bool:
        """Send what waits, then stop: `track` drops from here on. Returns whether all was taken in `exit_within_s`."""
        done = self.flush(self.exit_within_s)
        self._closed = True
        self._wake.set()
        if self._thread is not None and done:
            self._thread.join(1.0)
        return done

    # Taking.

    def _take_over(self, body: dict[str, Any], request: Any) -> bool:
        """Put what the request says of its visitor into the hit; False where the visitor is not to be counted."""
        visitor = visitor_of(request, self.visitor_header)
        if visitor.opted_out and self.honour_opt_out:
            return False
        said = {
            "path": visitor.path,
            "host": visitor.host,
            "referrer": visitor.referrer,
            "language": visitor.language,
            "visitor_id": visitor.visitor_id,
        }
        if self._reports_others:
            said |= {"ip": visitor.address, "user_agent": visitor.user_agent}
        for name, value in said.items():
            if value and not body.get(name):
                body[name] = value
        return True

    def _put(self, hit: _Hit) -> None:
        with self._lock:
            if self._closed or len(self._waiting) + self._under_way >= self.buffer:
                if self._counts.dropped == 0:
                    log.warning(
                        "hits are dropped: %s", "the client is closed" if self._closed else "the buffer is full"
                    )
                self._counts = replace(self._counts, dropped=self._counts.dropped + 1)
                return
            self._waiting.append(hit)
        self._run()
        if len(self._waiting) >= self.batch:
            self._wake.set()

    # Sending.

    def _run(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(
                        target=_work, args=(weakref.ref(self),), name="analytics-tracking", daemon=True
                    )
                    self._thread.start()

    def _send_waiting(self) -> None:
        """Send batches until none waits. Raises `Unreachable` where the service did not take all of one."""
        while hits := self._next_batch():
            try:
                encoded = self._encoded(hits)
                self._put_back(hits[len(encoded) :], len(encoded))
                hits = hits[: len(encoded)]
                answers = self._transport.send(encoded)
            except Exception:
                self._put_back(hits, 0)
                raise
            self._settle(hits, answers)

    def _next_batch(self) -> list[_Hit]:
        """The oldest hits; those that are out of date are dropped."""
        hits: list[_Hit] = []
        oldest = time.time() - OUT_OF_DATE_S
        with self._lock:  # nothing slow in here: `track` waits for it
            while self._waiting and len(hits) < self.batch:
                hit = self._waiting.popleft()
                if hit.made_at < oldest:
                    self._counts = replace(self._counts, dropped=self._counts.dropped + 1)
                else:
                    hits.append(hit)
            self._under_way = len(hits)
        return hits

    def _encoded(self, hits: list[_Hit]) -> list[str]:
        """The first of `hits` as JSON, as many as make one call.

        Encoding holds the interpreter; after every few hits it is let go, so that the application never waits for it.
        """
        encoded: list[str] = []
        size = 0
        for hit in hits:
            encoded.append(json.dumps({**hit.body, "key": self._key_of(hit.website)}, default=str))
            size += len(encoded[-1]) + 1
            if size > MOST_BYTES and len(encoded) > 1:
                return encoded[:-1]
            if len(encoded) % LET_GO_AFTER == 0:
                time.sleep(0)
        return encoded

    def _key_of(self, website: Website) -> str:
        if isinstance(website, str) and website:
            return website
        if isinstance(website, int):
            if website not in self._keys:
                self._keys[website] = self._transport.key_of(website)
            return self._keys[website]
        return self.key

    def _settle(self, hits: list[_Hit], answers: list[Answer]) -> None:
        again = [hit for hit, answer in zip(hits, answers) if answer.again]
        for answer in answers:
            if not (answer.ok or answer.again):
                log.warning("a hit was refused: %s", answer.error)
        with self._settled:
            self._under_way = 0
            self._waiting.extendleft(reversed(again))
            self._settled.notify_all()
            self._counts = replace(
                self._counts,
                sent=self._counts.sent + sum(answer.ok and not answer.ignored for answer in answers),
                ignored=self._counts.ignored + sum(answer.ignored for answer in answers),
                refused=self._counts.refused + sum(not (answer.ok or answer.again) for answer in answers),
            )
        if again:
            raise Unreachable("some were not taken")

    def _put_back(self, hits: list[_Hit], under_way: int) -> None:
        with self._lock:
            self._under_way = under_way
            self._waiting.extendleft(reversed(hits))


def _work(ref: weakref.ref[AnalyticsTracking]) -> None:
    """The thread: send, wait, again; until the client is closed or gone."""
    pause_s = FIRST_PAUSE_S
    while (client := ref()) is not None:
        wake, every_s = client._wake, client.every_s  # noqa: SLF001 - its own thread
        del client  # nobody else may need it any more
        wake.wait(every_s)  # so that hits gather
        wake.clear()
        if (client := ref()) is None:
            return
        closed, least_s = client._closed, 0.0  # noqa: SLF001
        try:
            client._send_waiting()  # noqa: SLF001
        except Unreachable as away:
            least_s = max(away.retry_after_s, 0.01)
        except Exception:
            log.exception("hits could not be sent")
            least_s = 1.0
        if closed:
            client._transport.close()  # noqa: SLF001
            return
        del client
        if least_s:
            time.sleep(max(least_s, pause_s * random.uniform(0.8, 1.2)))  # noqa: S311 - only spreads the load
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        else:
            pause_s = FIRST_PAUSE_S


def _close(ref: weakref.ref[AnalyticsTracking]) -> None:
    client = ref()
    if client is not None:
        client.close()


def _start_again(ref: weakref.ref[AnalyticsTracking]) -> None:
    """In a child process: a thread of its own, and nothing of what waits in the parent, which sends that."""
    client = ref()
    if client is not None:
        client._start()  # noqa: SLF001


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
