"""Made-up traffic: visitors, their sessions and what they do, as distributions of real websites have them. Pure."""

import math
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Generic, TypeVar

from analytics_app.records import AnyHit, Heartbeat, Hit
from analytics_app.sessions.kinds import EventKind

T = TypeVar("T")

PAGES = 1_000
RETURNING = 0.35
REMEMBERED_VISITORS = 400_000
HEARD_OF = 0.6


class Choice(Generic[T]):
    """Draws values by their weights."""

    def __init__(self, weighted: Sequence[tuple[T, float]]) -> None:
        self._values = [value for value, _ in weighted]
        self._sums = list(accumulate(weight for _, weight in weighted))

    def draw(self, rng: random.Random) -> T:
        """One value."""
        return self._values[bisect(self._sums, rng.random() * self._sums[-1], 0, len(self._values) - 1)]


SECTIONS = ("docs", "blog", "products", "help")
PATHS = ["/", "/pricing", "/about", "/signup", "/contact"]
PATHS += [f"/{SECTIONS[n % len(SECTIONS)]}/article-{n}" for n in range(PAGES - len(PATHS))]
_PAGES = Choice([(number, 1 / (number + 1) ** 0.8) for number in range(PAGES)])

# Source, channel, referrer, medium, campaign.
Arrival = tuple[str, str, str, str, str]
_ARRIVALS: Choice[Arrival] = Choice(
    [
        (("Direct", "Direct", "", "", ""), 34),
        (("Google", "Organic Search", "https://www.google.com/", "", ""), 30),
        (("Bing", "Organic Search", "https://www.bing.com/", "", ""), 5),
        (("DuckDuckGo", "Organic Search", "https://duckduckgo.com/", "", ""), 3),
        (("Facebook", "Organic Social", "https://www.facebook.com/", "", ""), 5),
        (("Reddit", "Organic Social", "https://www.reddit.com/", "", ""), 2),
        (("ChatGPT", "AI Assistants", "https://chatgpt.com/", "", ""), 3),
        (("google", "Paid Search", "https://www.google.com/", "cpc", "summer-sale"), 6),
        (("google", "Paid Search", "https://www.google.com/", "cpc", "brand"), 3),
        (("newsletter", "Email", "", "email", "weekly"), 4),
        *(((f"site{n}.example", "Referral", f"https://site{n}.example/{n}", "", ""), 5 / n) for n in range(1, 200)),
    ]
)  # fmt: skip
_COUNTRIES = Choice([
    ("US", 24), ("GB", 12), ("DE", 11), ("FR", 7), ("IN", 8), ("BR", 4), ("CA", 4), ("NL", 4), ("ES", 3), ("IT", 3),
    ("PL", 3), ("AU", 3), ("SE", 2), ("JP", 2), ("CH", 1.5), ("AT", 1.5), ("MX", 1), ("ZA", 1), ("NP", 0.3), ("", 1),
])  # fmt: skip
# Device, system, its version, browser, its version, screen.
_DEVICES = Choice([
    (("mobile", "iOS", "26", "Mobile Safari", "26", "390x844"), 26),
    (("mobile", "Android", "16", "Chrome Mobile", "142", "412x915"), 24),
    (("mobile", "Android", "15", "Samsung Internet", "29", "360x800"), 4),
    (("desktop", "Windows", "11", "Chrome", "142", "1920x1080"), 19),
    (("desktop", "Windows", "11", "Edge", "142", "1536x864"), 6),
    (("desktop", "macOS", "26", "Safari", "26", "1512x982"), 7),
    (("desktop", "macOS", "26", "Chrome", "142", "1728x1117"), 5),
    (("desktop", "Windows", "10", "Firefox", "145", "1920x1080"), 4),
    (("desktop", "Linux", "", "Firefox", "145", "2560x1440"), 2),
    (("tablet", "iOS", "26", "Mobile Safari", "26", "820x1180"), 3),
])  # fmt: skip
_LANGUAGES = Choice([("en-US", 38), ("en-GB", 14), ("de-DE", 12), ("fr-FR", 7), ("es-ES", 6), ("pt-BR", 4), ("", 2)])
_EVENT_NAMES = Choice([("signup", 1), ("button_click", 5), ("download", 2), ("video_play", 2), ("search", 3)])
_VIEWS_WEIGHTED = [(1, 46), (2, 20), (3, 12), (4, 8), (5, 5), (6, 4), (7, 3), (8, 2)]
_VIEWS = Choice(_VIEWS_WEIGHTED)
_EVENTS_PER_VIEW = 0.13
EVENTS_PER_SESSION = (
    (1 + _EVENTS_PER_VIEW) * sum(n * w for n, w in _VIEWS_WEIGHTED) / sum(w for _, w in _VIEWS_WEIGHTED)
)


@dataclass(slots=True)
class Crowd:
    """The visitors so far of whom some come again."""

    rng: random.Random
    seen: list[str] = field(default_factory=list)

    def comes(self) -> str:
        """The hash of a visitor, new or known."""
        if self.seen and self.rng.random() < RETURNING:
            return self.rng.choice(self.seen)
        hash_ = f"{self.rng.getrandbits(128):032x}"
        if len(self.seen) < REMEMBERED_VISITORS:
            self.seen.append(hash_)
        else:
            self.seen[self.rng.randrange(REMEMBERED_VISITORS)] = hash_
        return hash_


def weight_of(hour: datetime) -> float:
    """How much of the traffic an hour has: most in the afternoon, less at weekends."""
    daily = 1 - 0.75 * math.cos((hour.hour - 3) / 12 * math.pi)
    return daily * (0.65 if hour.weekday() >= 5 else 1.0)


def sessions_by_hour(start: datetime, end: datetime, sessions: int) -> list[tuple[datetime, int]]:
    """How many of all `sessions` start in which hour between `start` and `end`."""
    hours = [start + timedelta(hours=n) for n in range(max(1, -((start - end) // timedelta(hours=1))))]
    sums = list(accumulate(weight_of(hour) * min(1.0, (end - hour) / timedelta(hours=1)) for hour in hours))
    reached = [round(sessions * one / sums[-1]) for one in sums]
    return [(hour, upto - before) for hour, upto, before in zip(hours, reached, [0, *reached], strict=False)]


def hits_of_hour(
    rng: random.Random, crowd: Crowd, ids: Iterator[int], website_id: int, hour: datetime, end: datetime, sessions: int
) -> list[AnyHit]:
    """Everything that the sessions which start in an hour send before `end`, by time."""
    first, last = round(hour.timestamp() * 1000), round(min(end, hour + timedelta(hours=1)).timestamp() * 1000)
    until = round(end.timestamp() * 1000)
    hits: list[AnyHit] = []
    for _ in range(sessions):
        at = rng.randrange(first, max(first + 1, last))
        hits += (hit for hit in _session(rng, crowd, ids, website_id, at) if hit.at_ms < until)
    hits.sort(key=lambda hit: hit.at_ms)
    return hits


def _session(rng: random.Random, crowd: Crowd, ids: Iterator[int], website_id: int, at: int) -> Iterator[AnyHit]:
    key, visitor = f"{rng.getrandbits(128):032x}", crowd.comes()
    source, channel, referrer, medium, campaign = _ARRIVALS.draw(rng)
    device, system, system_version, browser, browser_version, screen = _DEVICES.draw(rng)
    about: dict[str, Any] = {
        "host": "seed.example", "source": source, "channel": channel, "referrer": referrer, "utm_medium": medium,
        "utm_campaign": campaign, "utm_source": source if medium else "", "country": _COUNTRIES.draw(rng),
        "device_type": device, "os": system, "os_version": system_version, "browser": browser,
        "browser_version": browser_version, "screen": screen, "language": _LANGUAGES.draw(rng),
    }  # fmt: skip
    for _ in range(_VIEWS.draw(rng)):
        page = _PAGES.draw(rng)
        view = next(ids)
        yield Hit(
            event_id=view, at_ms=at, website_id=website_id, session_key=key, visitor=visitor, path=PATHS[page],
            title=f"Page {page}", **about,
        )  # fmt: skip
        stay_ms = min(900_000, int(rng.expovariate(1 / 45_000)) + 1_000)
        if rng.random() < _EVENTS_PER_VIEW:
            yield Hit(
                event_id=next(ids), at_ms=at + stay_ms // 2, website_id=website_id, session_key=key, visitor=visitor,
                kind=int(EventKind.EVENT), name=_EVENT_NAMES.draw(rng), path=PATHS[page],
                properties={"plan": rng.choice(("free", "pro"))} if rng.random() < 0.2 else None, **about,
            )  # fmt: skip
        if rng.random() < HEARD_OF:
            yield Heartbeat(
                event_id=view, at_ms=at + stay_ms, session_key=key, website_id=website_id,
                time_on_page_s=stay_ms // 1000, scroll_depth=rng.choice((10, 25, 50, 75, 100)),
            )  # fmt: skip
        at += stay_ms
