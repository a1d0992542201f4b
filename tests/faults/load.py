"""A crowd of visitors, and the journal of what they were told."""

import asyncio
import math
import random
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.faults.defined import Trial

HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
    "Safari/537.36",
    "Accept": "*/*",
    "Accept-Language": "en-GB,en;q=0.9",
    "Accept-Encoding": "gzip, deflate, br",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "cross-site",
}
PATHS = tuple(f"/page/{number}" for number in range(20))
NAMES = ("signup", "download", "play")
ATTEMPT_S = 4.0
PERSISTS_S = 120.0
MOST_AT_ONCE = 200


@dataclass(slots=True)
class Sent:
    """A pageview or event as the journal has it; `event_id` is what the service answered, None: it never said ok."""

    website_id: int
    visitor: str
    session: str
    path: str
    name: str
    event_id: int | None = None
    began: float = 0.0
    ended: float = 0.0
    attempts: int = 0


@dataclass(slots=True)
class Beat:
    """The highest totals of a pageview: sent, and acknowledged."""

    sent: tuple[int, int] = (0, 0)
    ok: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Shown:
    """Somebody asked for its variant, or told which one it saw: `variant` is None where no answer said so."""

    began: float
    ended: float = 0.0
    variant: int | None = None
    is_told: bool = False
    """Whether the service said that it has it."""
    is_own: bool = False
    """Whether the website assigned it by itself."""


@dataclass
class Journal:
    """Everything that was sent, by the client's own id, and what was answered."""

    hits: dict[str, Sent] = field(default_factory=dict)
    beats: dict[int, Beat] = field(default_factory=dict)  # by the event id that was answered
    shown: dict[tuple[int, str], list[Shown]] = field(default_factory=dict)  # to each visitor of a website, in order
    seen: dict[tuple[int, str], tuple[float, str]] = field(
        default_factory=dict
    )  # last ok activity and page of a visitor
    answers: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    oks: list[float] = field(default_factory=list)  # when each ok arrived
    slowest_s: float = 0.0  # of all answers
    slowest_refusal_s: float = 0.0
    own_lag_s: float = 0.0  # the longest that these visitors themselves were held up by a busy machine
    heartbeats_ok: int = 0
    leaves_ok: int = 0

    @property
    def hits_ok(self) -> int:
        """Pageviews and events that are promised to be stored."""
        return sum(hit.event_id is not None for hit in self.hits.values())


@dataclass(slots=True)
class Visitor:
    """Somebody on a website: one thing at a time, as a browser does it."""

    website_id: int
    key: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    session: str = field(default_factory=lambda: str(uuid.uuid4()))
    viewed: list[int] = field(default_factory=list)
    page: str = ""
    left: int = 12


class Crowd:
    """Visitors of `websites` (id, key) who send `rate` hits a second to `address`, whatever becomes of it.

    Of websites with an experiment (`trials`) they are shown a variant now and then.
    """

    def __init__(
        self,
        address: str,
        websites: Sequence[tuple[int, str]],
        rate: float,
        seed: int,
        *,
        visitors: int = 300,
        trials: Mapping[int, Trial] | None = None,
    ) -> None:
        self.address, self.websites, self.rate, self.size = address, websites, rate, visitors
        self.trials = trials or {}
        self.random = random.Random(seed)
        self.journal = Journal()
        self.idle: list[Visitor] = []
        self.born = 0
        self.busy: set[asyncio.Task[None]] = set()
        self.skipped = 0
        self.is_enough = False

    def enough(self) -> None:
        """Send nothing new."""
        self.is_enough = True

    def give_up(self) -> None:
        """Send nothing any more."""
        self.is_enough = True
        for task in self.busy:
            task.cancel()

    def oks_since(self, at: float) -> int:
        """How many were answered ok since then, by the monotonic clock."""
        return sum(answered > at for answered in self.journal.oks)

    async def send(self, seconds: float | None) -> Journal:
        """Send for so long (None: until it is enough), then wait for the last answers; returns the journal."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as self.http:
            began = time.monotonic()
            due = 0
            while not self.is_enough and (passed := time.monotonic() - began) < (seconds or math.inf):
                while due < passed * self.rate:
                    due += 1
                    self._one_more()
                before = time.monotonic()
                await asyncio.sleep(0.01)
                self.journal.own_lag_s = max(self.journal.own_lag_s, time.monotonic() - before - 0.01)
            if self.busy:
                await asyncio.wait(self.busy)
        return self.journal

    def _one_more(self) -> None:
        if len(self.busy) >= MOST_AT_ONCE:
            self.skipped += 1
            return
        if self.idle and (self.born >= self.size or self.random.random() < 0.9):
            visitor = self.idle.pop(self.random.randrange(len(self.idle)))
        else:
            visitor = Visitor(*self.random.choice(self.websites))
            self.born += 1
        task = asyncio.create_task(self._act(visitor))
        self.busy.add(task)
        task.add_done_callback(self.busy.discard)

    async def _act(self, visitor: Visitor) -> None:
        chance = self.random.random()
        if visitor.viewed and chance < 0.30:
            await self._beat(visitor)
        elif visitor.viewed and chance < 0.34:
            await self._leave(visitor)
        elif visitor.viewed and chance < 0.42 and visitor.website_id in self.trials:
            await self._look(visitor, self.trials[visitor.website_id])
        else:
            await self._hit(visitor, is_event=chance > 0.85)
        visitor.left -= 1
        if visitor.left > 0:
            self.idle.append(visitor)
        else:
            self.born -= 1

    async def _hit(self, visitor: Visitor, *, is_event: bool) -> None:
        path = self.random.choice(PATHS)
        name = self.random.choice(NAMES) if is_event else ""
        client_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        sent = Sent(visitor.website_id, visitor.id, visitor.session, path, name, began=time.time())
        self.journal.hits[client_id] = sent
        body = {
            "key": visitor.key, "id": client_id, "visitor_id": visitor.id, "session_id": visitor.session, "path": path,
            **({"name": name} if is_event else {"title": f"The page {path}"}),
        }  # fmt: skip
        answer = await self._ask("event" if is_event else "track", body, sent)
        sent.ended = time.time()
        if answer is None:
            return
        assert answer["ok"] is True
        assert "ignored" not in answer, answer
        sent.event_id = answer["event_id"]
        if not is_event:
            visitor.viewed.append(answer["event_id"])
            visitor.page = path
        self._seen(visitor)

    async def _beat(self, visitor: Visitor) -> None:
        event_id = self.random.choice(visitor.viewed[-3:])
        beat = self.journal.beats.setdefault(event_id, Beat())
        totals = (beat.sent[0] + self.random.randint(0, 5), min(100, beat.sent[1] + self.random.randint(0, 20)))
        beat.sent = totals
        body = {
            "key": visitor.key, "event_id": event_id, "session_id": visitor.session,
            "time_on_page": totals[0], "scroll_depth": totals[1],
        }  # fmt: skip
        if await self._ask("heartbeat", body) is not None:
            beat.ok = totals
            self.journal.heartbeats_ok += 1
            self._seen(visitor)

    async def _leave(self, visitor: Visitor) -> None:
        if await self._ask("leave", {"key": visitor.key, "session_id": visitor.session}) is None:
            return
        self.journal.leaves_ok += 1
        self._seen(visitor)
        if self.random.random() < 0.5:
            visitor.session, visitor.viewed, visitor.page = str(uuid.uuid4()), [], ""

    async def _look(self, visitor: Visitor, trial: Trial) -> None:
        """Be shown a variant; one in ten is shown what the website chose by itself, which may be another."""
        shown = Shown(time.time(), is_own=self.random.random() < 0.1)
        self.journal.shown.setdefault((visitor.website_id, visitor.id), []).append(shown)
        if shown.is_own:
            shown.variant = self.random.choice(trial.variants)
            told = {"key": visitor.key, "visitor_id": visitor.id}
            body = {**told, "experiment_id": trial.id, "variant_id": shown.variant}
            shown.is_told = await self._ask("experiment/exposure", body) is not None
        else:
            asked = f"experiment/variant?experiment_id={trial.id}&visitor_id={visitor.id}"
            answer = await self._ask(asked)
            shown.is_told = answer is not None and answer["in_experiment"]  # not: whoever cannot be counted
            shown.variant = answer["variant_id"] if answer and shown.is_told else None
        shown.ended = time.time()

    def _seen(self, visitor: Visitor) -> None:
        self.journal.seen[visitor.website_id, visitor.id] = (time.time(), visitor.page)

    async def _ask(
        self, endpoint: str, body: dict[str, Any] | None = None, sent: Sent | None = None
    ) -> dict[str, Any] | None:
        """Send until it is answered ok, the same body each time (without one: ask); None where it never was."""
        until = time.monotonic() + PERSISTS_S
        while time.monotonic() < until:
            if sent is not None:
                sent.attempts += 1
            asked = time.monotonic()
            try:
                async with self.http.request(
                    "POST" if body else "GET",
                    f"{self.address}/analytics/{endpoint}",
                    json=body,
                    timeout=aiohttp.ClientTimeout(ATTEMPT_S),
                ) as answer:
                    self.journal.answers[str(answer.status)] += 1
                    self.journal.slowest_s = max(self.journal.slowest_s, time.monotonic() - asked)
                    if answer.status == 200:
                        if not endpoint.startswith("experiment/"):  # which may be known to have been told before
                            self.journal.oks.append(time.monotonic())
                        found: dict[str, Any] = await answer.json()
                        return found
                    if answer.status == 202 and endpoint == "experiment/exposure":
                        return None  # this process has not heard yet that the experiment runs
                    if answer.status != 503:  # nothing that sending it again would mend
                        self.journal.odd.append(f"{endpoint}: {answer.status} {(await answer.text())[:200]}")
                        return None
                    self.journal.slowest_refusal_s = max(self.journal.slowest_refusal_s, time.monotonic() - asked)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.journal.answers[type(error).__name__] += 1
            await asyncio.sleep(self.random.uniform(0.2, 0.6))
        return None
