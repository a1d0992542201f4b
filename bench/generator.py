"""One process of the load: `python -m bench.generator`, told what to send by a line of JSON on stdin.

It connects, says `ready`, waits for a line, sends for as long as it was told, and answers with a line of JSON. Sent
and received by a bare protocol, with requests made beforehand: what the load costs, the service does not have.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import uvloop

from bench.answers import body_of, hits_of, outcome_of
from bench.latencies import Latencies
from bench.traffic import BATCH_HITS, MIXES, Script, Traffic, views

ANSWERED_WITHIN_S = 15.0
VIEWS = (b"POST /analytics/track ", b"POST /analytics/batch ")


@dataclass(frozen=True, slots=True)
class Order:
    """What a generator is to do."""

    port: int
    connections: int
    seconds: float
    mix: str
    traffic: Traffic
    seed: int
    rate: float = 0.0
    """Requests a second in all; 0: each connection sends its next when the one before is answered."""

    def line(self) -> str:
        """The order as a line for the generator's stdin."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, line: str) -> "Order":
        """The order of such a line."""
        given = json.loads(line)
        traffic = given.pop("traffic")
        return cls(**given, traffic=Traffic(**{**traffic, "keys": tuple(traffic["keys"])}))


@dataclass(slots=True)
class Sent:
    """What a generator did. Times are of the monotonic clock, which all processes of a machine share."""

    began_at: float = 0.0
    ended_at: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    views: int = 0  # pageviews among the `ok`
    cpu_s: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)

    def line(self) -> str:
        """It as a line of JSON."""
        return json.dumps({**{k: getattr(self, k) for k in self.__slots__}, "latencies": self.latencies.counts}) + "\n"

    @classmethod
    def read(cls, line: str) -> "Sent":
        """What such a line says."""
        given = json.loads(line)
        counts = {int(step): count for step, count in given.pop("latencies").items()}
        return cls(**{**given, "outcomes": Counter(given["outcomes"])}, latencies=Latencies(counts))


class Connection(asyncio.Protocol):
    """One keep-alive connection: the next request follows the answer to the one before, `every_s` after that was due.

    A request that comes late because the one before did is measured from when it was due.
    """

    def __init__(self, script: Script, sent: Sent, until: float) -> None:
        self.script, self.sent, self.until, self.every_s = script, sent, until, 0.0
        self.request, self.sent_at, self.received = b"", 0.0, b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def start(self) -> None:
        """Send the first request: at once, or some time within the first interval."""
        now = time.monotonic()
        self._send_at(next(self.script), now + self.every_s * random.random(), now)  # noqa: S311 - no secret

    def _send_at(self, request: bytes, due: float, now: float) -> None:
        if due > now:
            self.request, self.sent_at = b"", due
            asyncio.get_running_loop().call_later(due - now, self._send, request, due)
        else:
            self._send(request, due)

    def _send(self, request: bytes, now: float) -> None:
        assert self.transport is not None
        if self.transport.is_closing():
            return
        self.request, self.sent_at = request, now
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count the answer and send the next request."""
        if self.received:
            data = self.received + data
        found = body_of(data)
        if found is None:
            self.received = data
            return
        self.received = b""
        start, stop = found
        now, sent = time.monotonic(), self.sent
        sent.latencies.add(now - self.sent_at)
        outcome = outcome_of(data, start)
        hits = hits_of(self.request, data[start:stop], outcome, BATCH_HITS)
        sent.outcomes[outcome] += hits
        if outcome == "ok" and self.request.startswith(VIEWS):
            sent.views += hits
        due = self.sent_at + self.every_s if self.every_s else now
        if max(now, due) < self.until:
            self._send_at(self.script.send(data[start:stop]), due, now)
        else:
            self.request = b""
            self.end()

    def end(self) -> None:
        """No more."""
        assert self.transport is not None
        self.transport.close()
        if not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that was waited for will not come: it is not known what became of its hit."""
        if self.request:
            self.sent.outcomes["lost"] += 1
        if not self.ended.done():
            self.ended.set_result(None)


async def run(order: Order) -> Sent:
    """Connect, wait for the word, send, and return what came of it."""
    loop = asyncio.get_running_loop()
    rng, sent, pool = random.Random(order.seed), Sent(), views(order.traffic)  # noqa: S311 - no secret
    connections = []
    for _ in range(order.connections):
        script = MIXES[order.mix](pool, random.Random(rng.random()))  # noqa: S311 - no secret
        made: Any = await loop.create_connection(lambda s=script: Connection(s, sent, 0.0), "127.0.0.1", order.port)  # type: ignore[misc]
        connections.append(made[1])
    _say("ready\n")
    await asyncio.to_thread(sys.stdin.readline)
    sent.began_at, cpu_before_s = time.monotonic(), time.process_time()
    for connection in connections:
        connection.until = sent.began_at + order.seconds
        connection.every_s = order.connections / order.rate if order.rate else 0.0
        connection.start()
    await asyncio.wait([one.ended for one in connections], timeout=order.seconds + ANSWERED_WITHIN_S)
    sent.ended_at, sent.cpu_s = time.monotonic(), time.process_time() - cpu_before_s
    for connection in connections:
        if not connection.ended.done():
            sent.outcomes["lost"] += 1
            connection.request = b""
            connection.end()
    return sent


def _say(line: str) -> None:
    # After uvloop a write ends where the pipe is full, and `sys.stdout` drops the rest: a result may be longer.
    left = line.encode()
    while left:
        left = left[os.write(sys.stdout.fileno(), left) :]


def main() -> None:
    """Do what the line on stdin says."""
    _say(uvloop.run(run(Order.read(sys.stdin.readline()))).line())


if __name__ == "__main__":
    main()
