"""How many tracking calls are taken: a budget for each window of time, shared by all keys and all processes.

The rule. In a window at most `count` calls are taken. While other keys ask too, a key gets no more than its share of
them. A key that was alone may have taken everything; what it took beyond its share does not count against the others,
so that a newcomer finds its part all the same: in such a window up to `count` x (2 - share) calls are taken, in any
other `count`.

Processes draw tokens from the common budget in small leases, ahead of need, and report which keys used them.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

PERIODS_S = {"second": 1, "minute": 60, "hour": 3600}
RENEW_EVERY_S = 1.0
"""Age at which what a process knows of the others is asked for anew."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` calls every `period_s` seconds, and the part of them one key may take while others ask too."""

    count: int
    period_s: int
    share: float = 0.5

    @property
    def most_for_one(self) -> int:
        """Calls that one key may have taken in a window while others ask too."""
        return max(1, math.floor(self.count * self.share))

    @property
    def least_lease(self) -> int:
        """Tokens of a first lease."""
        return max(1, self.count // 200)

    @property
    def most_leased(self) -> int:
        """Tokens that a process holds at most: so far two processes together may miss the limit."""
        return max(1, self.count // 20)


def parse(text: str, share: float = 0.5) -> Limit | None:
    """The limit that a setting such as `10000/minute` says; None for `off`. Raises ValueError on anything else."""
    if text == "off":
        return None
    found = re.fullmatch(r"([1-9]\d*)/(second|minute|hour)", text)
    if found is None:
        raise ValueError(f"{text!r} is no limit: write 10000/minute, or off")
    return Limit(int(found[1]), PERIODS_S[found[2]], share)


def granted(limit: Limit, wanted: int, leased: int, excess: int, *, others_ask: bool) -> int:
    """Tokens of the `wanted` that are left of a window's budget, of which `leased` are given out.

    `excess`: what single keys took beyond their share, which is not held against the others.
    """
    return max(0, min(wanted, limit.count - leased + (excess if others_ask else 0)))


class Verdict(Enum):
    """What becomes of a call."""

    TAKEN = "taken"
    REFUSED = "refused"
    ASK = "ask"
    """It depends on the common budget, which must be asked."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a process tells the common budget, and what it wants of it."""

    window: object
    used: Mapping[int, int]
    asked: frozenset[int]
    wanted: int
    returned: int


@dataclass(frozen=True, slots=True)
class Lease:
    """What the common budget answers."""

    window: object
    """Names the window; what was taken in another does not count any more."""
    left_s: float
    tokens: int
    used: Mapping[int, int]
    """Calls taken in this window by every process, for the keys that were asked about."""
    rivals: Iterable[int]
    """The keys that asked last, whichever process; two are enough to know whether any key has company."""
    processes: int


@dataclass(slots=True)
class Budget:
    """One process' part of the budget. Time is handed in, in seconds of a clock that never steps back."""

    limit: Limit
    held: int = 0
    ends_at: float = -math.inf
    renewed_at: float = -math.inf
    window: object = None
    processes: int = 1
    used: dict[int, int] = field(default_factory=dict)
    fresh: dict[int, int] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    lately: dict[int, float] = field(default_factory=dict)
    dry_until: dict[bool, float] = field(default_factory=dict)

    def take(self, key: int, now: float) -> Verdict:
        """Judge one call of `key`; a token is gone where it is taken."""
        self.lately[key] = now
        self.asked.add(key)
        if now >= self.ends_at:
            return Verdict.ASK
        if self.others_ask and self.used.get(key, 0) >= self.limit.most_for_one:
            return Verdict.REFUSED
        if self.held > 0:
            self.held -= 1
            self.used[key] = self.used.get(key, 0) + 1
            self.fresh[key] = self.fresh.get(key, 0) + 1
            return Verdict.TAKEN
        return Verdict.REFUSED if now < self.dry_until.get(self.others_ask, -math.inf) else Verdict.ASK

    @property
    def others_ask(self) -> bool:
        """Whether more than one key asked in the last period."""
        return len(self.lately) > 1

    def is_due(self, now: float) -> bool:
        """Whether there is something to tell or to give back, and a second has passed."""
        return now - self.renewed_at >= RENEW_EVERY_S and bool(self.fresh or self.asked or self.held)

    def report(self, now: float, *, waiting: int, closing: bool = False) -> Report:
        """What to tell the common budget now, with `waiting` calls in need of tokens; it is not told again.

        A process that is `closing` wants nothing and gives back all it holds.
        """
        self._forget_old(now)
        if now >= self.ends_at:
            self.held = 0  # tokens of a window that is over are worth nothing, and must not stand for what is wanted
        taken = sum(self.fresh.values())
        quick = now - self.renewed_at < RENEW_EVERY_S
        target = max(taken * 2 if quick else taken, self.limit.least_lease if waiting else 0, waiting)
        target = 0 if closing else min(self.limit.most_leased, target)
        returned = max(0, self.held - target) if now < self.ends_at else 0
        self.held -= returned
        report = Report(self.window, self.fresh, frozenset(self.asked), max(0, target - self.held), returned)
        self.fresh, self.asked = {}, set()
        return report

    def take_back(self, report: Report) -> None:
        """The report did not arrive: it is to be told again."""
        for key, used in report.used.items():
            self.fresh[key] = self.fresh.get(key, 0) + used
        self.asked |= report.asked
        self.held += report.returned

    def renew(self, lease: Lease, now: float, *, wanted: int) -> None:
        """Take over what the common budget answered to a report that wanted so many tokens."""
        another = lease.window != self.window
        if another:
            self.held, self.used, self.window = 0, {}, lease.window
            self.dry_until.clear()
        self.renewed_at, self.ends_at = now, now + lease.left_s
        self.processes = max(1, lease.processes)
        for key in lease.rivals:
            self.lately.setdefault(key, now)
        for key, used in lease.used.items():
            self.used[key] = used + self.fresh.get(key, 0)
        self.held += lease.tokens
        # In a window that just began, what was wanted was reckoned by what was held in the one before: ask again.
        # One that wanted nothing, because nobody had asked lately, tells nothing of what is left.
        if wanted and self.held == 0 and not another:
            self.dry_until[self.others_ask] = now + RENEW_EVERY_S

    def stand_alone(self, now: float) -> None:
        """Go on without the common budget: with an equal part of the limit for each process that was there last."""
        if now >= self.ends_at:
            self.held, self.used, self.window = 0, {}, object()
            self.ends_at = now + self.limit.period_s
        room = max(1, self.limit.count // self.processes) - sum(self.used.values())
        self.held = max(0, min(self.limit.least_lease, room))
        if self.held == 0:
            self.dry_until[self.others_ask] = now + RENEW_EVERY_S

    def _forget_old(self, now: float) -> None:
        old = now - self.limit.period_s
        self.lately = {key: at for key, at in self.lately.items() if at > old}
