"""The requests of the bench, as a browser with the tracker sends them, and scripts that tell which comes next."""

import os
import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from uuid import UUID

import orjson

from bench.agents import BROWSERS, CAMPAIGNS, LANGUAGES, REFERRERS, SCREENS
from bench.answers import event_id_of

PREBUILT = 20_000
IDS_AT_ONCE = 1024
ID_LENGTH = 36
BATCH_HITS = 500

Script = Generator[bytes, bytes, None]
"""Yields requests; is sent the body of each answer."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who visits what: `visitors` over all websites, each with a session id and a browser of its own."""

    host: str
    keys: tuple[str, ...]
    visitors: int = 10_000
    paths: int = 1000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class View:
    """A pageview but for its id, which goes between `before` and `after`, and what its heartbeats need."""

    before: bytes
    after: bytes
    headers: str
    key: str
    session_id: str


def views(traffic: Traffic, count: int = PREBUILT) -> list[View]:
    """Pageviews on random pages, each visitor on its own website: `count` of them, and one or more of each visitor."""
    rng = random.Random(traffic.seed)  # noqa: S311 - no secret
    visitors = [_visitor(rng, number, traffic) for number in range(traffic.visitors)]
    more = [rng.choice(visitors) for _ in range(count - len(visitors))]
    return [_view(rng, visitor, traffic) for visitor in visitors + more]


def _visitor(rng: random.Random, number: int, traffic: Traffic) -> tuple[str, str, dict[str, object]]:
    """The headers that its browser sends, its website's key, and the fields that are the same in each of its views."""
    agent, hints = rng.choice(BROWSERS)
    language, (width, height) = rng.choice(LANGUAGES), rng.choice(SCREENS)
    headers = (
        f"Host: {traffic.host}\r\nConnection: keep-alive\r\n{hints}User-Agent: {agent}\r\n"
        "Content-Type: text/plain;charset=UTF-8\r\nAccept: */*\r\nOrigin: https://site.example\r\n"
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
        "Referer: https://site.example/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
        f"Accept-Language: {language}\r\n"
    )
    site = number % len(traffic.keys)
    fields: dict[str, object] = {
        "key": traffic.keys[site],
        "type": "pageview",
        "visitor_id": str(UUID(int=rng.getrandbits(128), version=4)),
        "session_id": str(UUID(int=rng.getrandbits(128), version=4)),
        "host": f"site{site}.example",
        "screen_width": width,
        "screen_height": height,
        "language": language.split(",", 1)[0],
        "referrer": rng.choice(REFERRERS) if rng.random() < 0.6 else "",
    }
    if rng.random() < 0.1:
        fields |= dict(zip(("utm_source", "utm_medium", "utm_campaign"), rng.choice(CAMPAIGNS), strict=True))
    return headers, traffic.keys[site], fields


def _view(rng: random.Random, visitor: tuple[str, str, dict[str, object]], traffic: Traffic) -> View:
    headers, key, fields = visitor
    page = rng.randrange(traffic.paths)
    body = orjson.dumps({**fields, "path": f"/articles/{page}", "title": f"Article number {page}"})
    before = body[:-1] + b',"id":"'
    return View(
        request_head("track", headers, len(before) + ID_LENGTH + 2) + before,
        b'"}',
        headers,
        key,
        str(fields["session_id"]),
    )


def request_head(endpoint: str, headers: str, length: int) -> bytes:
    """The head of a POST with a body of `length` bytes."""
    return f"POST /analytics/{endpoint} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n".encode()


def _request(endpoint: str, headers: str, fields: dict[str, object]) -> bytes:
    body = orjson.dumps(fields)
    return request_head(endpoint, headers, len(body)) + body


def new_ids() -> Iterator[bytes]:
    """Random UUIDs of version 4 without end, as `crypto.randomUUID()` writes them."""
    while True:
        digits = os.urandom(16 * IDS_AT_ONCE).hex().encode()
        for at in range(0, len(digits), 32):
            one = digits[at : at + 32]
            yield b"%b-%b-4%b-a%b-%b" % (one[:8], one[8:12], one[13:16], one[17:20], one[20:])


def single_hits(pool: list[View], rng: random.Random) -> Script:
    """Pageviews, one after the other."""
    ids = new_ids()
    while True:
        view = rng.choice(pool)
        yield view.before + next(ids) + view.after


def real_mix(pool: list[View], rng: random.Random) -> Script:
    """A pageview, its four heartbeats, and the leave; then the next visitor's."""
    ids = new_ids()
    while True:
        view = rng.choice(pool)
        answer = yield view.before + next(ids) + view.after
        session: dict[str, object] = {"key": view.key, "session_id": view.session_id}
        try:
            event_id = event_id_of(answer)
        except ValueError:  # refused: there is nothing to engage with
            continue
        for beat in range(1, 5):
            engaged = {**session, "event_id": event_id, "time_on_page": 15 * beat, "scroll_depth": 25 * beat}
            yield _request("heartbeat", view.headers, engaged)
        yield _request("leave", view.headers, session)


def busy_mix(pool: list[View], rng: random.Random) -> Script:
    """Pageviews, and an event of a hundred different ones in every fifth place."""
    ids = new_ids()
    while True:
        for _ in range(4):
            view = rng.choice(pool)
            yield view.before + next(ids) + view.after
        view = rng.choice(pool)
        name = b'"type":"event","name":"signup%d"' % rng.randrange(100)
        body = view.before.partition(b"\r\n\r\n")[2].replace(b'"type":"pageview"', name) + next(ids) + view.after
        yield request_head("event", view.headers, len(body)) + body


def batches(pool: list[View], rng: random.Random) -> Script:
    """Pageviews, `BATCH_HITS` in a call, as a server reports them."""
    ids = new_ids()
    bodies = [view.before.partition(b"\r\n\r\n")[2] for view in pool]
    while True:
        hits = b",".join([rng.choice(bodies) + next(ids) + b'"}' for _ in range(BATCH_HITS)])
        body = b'{"hits":[%b]}' % hits
        yield request_head("batch", pool[0].headers, len(body)) + body


def new_exposures(pool: list[View], rng: random.Random) -> Script:
    """Variants for visitors who were never seen, of the experiment that stands in the key's place."""
    ids = new_ids()
    while True:
        view = rng.choice(pool)
        yield _variant(view, next(ids).decode())


def known_exposures(pool: list[View], rng: random.Random) -> Script:
    """Variants for visitors who come again and again."""
    while True:
        view = rng.choice(pool)
        yield _variant(view, view.session_id)


def _variant(view: View, visitor_id: str) -> bytes:
    query = f"experiment_id={view.key}&visitor_id={visitor_id}"
    return f"GET /analytics/experiment/variant?{query} HTTP/1.1\r\n{view.headers}\r\n".encode()


MIXES: dict[str, Callable[[list[View], random.Random], Script]] = {
    "single": single_hits,
    "real": real_mix,
    "busy": busy_mix,
    "batch": batches,
    "new": new_exposures,
    "known": known_exposures,
}
"""What each connection sends, one request after the answer to the one before."""
