"""Chunks of recordings at a steady rate: taken, stored once each, and played; and what they take on disk."""

import asyncio
import gzip
import http.client
import json
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench.agents import BROWSERS
from bench.latencies import Latencies
from bench.service import Service
from bench.stored import database

CHUNKS_PER_S = 200.0
CHUNK_BYTES = 20_000
CHUNK_EVERY_S = 5.0
SNAPSHOT_EVERY = 6
PLAYED = 30
MADE = 40
WORDS = tuple(
    word
    for line in (
        "account add all basket book by buy cart change contact day delivery details email find for free from get help",
        "home in item learn list more my name new next now of offer on order our page price product read review sale",
        "save search see ship shop sign size terms the this to today total up view with you your",
    )
    for word in line.split()
)


@dataclass
class Sent:
    """What was sent, and answered."""

    ok: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    latencies: Latencies = field(default_factory=Latencies)


class Session:
    """Somebody who is recorded: a page with its list, that changes a little all the time."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.sequence, self.ids = rng, 0, 10
        self.who = {
            "visitor_id": str(uuid.UUID(int=rng.getrandbits(128))),
            "session_id": f"{rng.getrandbits(128):032x}",
        }

    def words(self, most: int) -> str:
        """Some words of a shop's page."""
        return " ".join(self.rng.choices(WORDS, k=self.rng.randint(1, most)))

    def card(self) -> dict[str, Any]:
        """A product as its page's frameworks write it."""
        self.ids += 8
        at = self.ids
        title = {"type": 2, "tagName": "h3", "attributes": {"class": "card__title text-lg"}, "id": at + 1,
                 "childNodes": [{"type": 3, "textContent": self.words(6), "id": at + 2}]}  # fmt: skip
        text = {"type": 2, "tagName": "p", "attributes": {"class": "card__text"}, "id": at + 3,
                "childNodes": [{"type": 3, "textContent": self.words(30), "id": at + 4}]}  # fmt: skip
        image = {"type": 2, "tagName": "img", "id": at + 5, "childNodes": [], "attributes": {
            "src": f"https://shop.example/{self.rng.randrange(9999)}.webp?w=400", "alt": self.words(4)}}  # fmt: skip
        attributes = {"class": "card card--wide", "data-id": str(self.rng.randrange(99_999)), "style": "opacity: 1;"}
        return {"type": 2, "tagName": "li", "attributes": attributes, "childNodes": [title, text, image], "id": at}

    def chunk(self) -> list[dict[str, Any]]:
        """Five seconds of it, about 20 kB: every sixth time with the page as a whole."""
        now_ms = round(time.time() * 1000)
        events: list[dict[str, Any]] = []
        if self.sequence % SNAPSHOT_EVERY == 0:
            body = {
                "type": 2,
                "tagName": "ul",
                "attributes": {},
                "id": 5,
                "childNodes": [self.card() for _ in range(12)],
            }
            html = {"type": 2, "tagName": "html", "attributes": {}, "id": 3, "childNodes": [body]}
            page = {"type": 0, "id": 1, "childNodes": [html]}
            events += [
                {
                    "type": 4,
                    "data": {"href": "https://shop.example/list", "width": 1280, "height": 800},
                    "timestamp": now_ms,
                },
                {"type": 2, "data": {"node": page, "initialOffset": {"left": 0, "top": 0}}, "timestamp": now_ms},
            ]
        size = len(json.dumps(events))
        while size < CHUNK_BYTES:
            event = {"type": 3, "data": self.change(), "timestamp": now_ms + size // 5}
            events.append(event)
            size += len(json.dumps(event))
        self.sequence += 1
        return events

    def change(self) -> dict[str, Any]:
        """A move, a scroll, a click, or a card that comes."""
        chance, rng = self.rng.random(), self.rng
        if chance < 0.6:
            spots = [
                {"x": rng.randrange(1280), "y": rng.randrange(800), "id": 5 + at, "timeOffset": -50 * at}
                for at in range(8)
            ]
            return {"source": 1, "positions": spots}
        if chance < 0.75:
            return {"source": 3, "id": 1, "x": 0, "y": rng.randrange(4000)}
        if chance < 0.8:
            return {"source": 2, "type": 2, "id": 5, "x": rng.randrange(1280), "y": rng.randrange(800)}
        added = {"parentId": 5, "nextId": None, "node": self.card()}
        return {"source": 0, "texts": [], "attributes": [], "removes": [], "adds": [added]}


async def send(service: Service, key: str, seconds: float, rate: float) -> tuple[list[Session], Sent]:
    """Send chunks at `rate` for so long, each session one every five seconds, gzipped as browsers do."""
    rng = random.Random(7)  # noqa: S311 - no secret
    sessions = [Session(random.Random(rng.random())) for _ in range(round(rate * CHUNK_EVERY_S))]  # noqa: S311
    # Made ahead: the load is to take as little of the machine as it can.
    made = [[json.dumps(one.chunk())[:-1] for _ in range(SNAPSHOT_EVERY)] for one in sessions[:MADE]]
    for one in sessions:
        one.sequence = 0
    sent, tasks = Sent(), set()

    async def one(http: aiohttp.ClientSession, session: Session) -> None:
        number = session.sequence
        session.sequence += 1
        events = made[int(session.who["session_id"][:4], 16) % MADE][number % SNAPSHOT_EVERY]
        head = json.dumps({"key": key, **session.who, "sequence": number})[:-1]
        zipped = gzip.compress(f'{head}, "events": {events}]}}'.encode(), 1)
        began = time.perf_counter()
        try:
            async with http.post("/analytics/replay", data=zipped) as answer:
                body = await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            body = {"code": type(error).__name__}
        sent.latencies.add(time.perf_counter() - began)
        said_ok = body.get("ok") is True and "ignored" not in body
        sent.ok += said_ok
        if not said_ok:
            name = str(body.get("ignored") or body.get("code"))
            sent.answers[name] = sent.answers.get(name, 0) + 1

    headers = {"User-Agent": BROWSERS[0][0], "Content-Type": "text/plain"}
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(service.address, headers=headers, timeout=timeout) as http:
        began, due = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            while due < passed * rate:
                task = asyncio.create_task(one(http, sessions[due % len(sessions)]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                due += 1
            await asyncio.sleep(0.005)
        if tasks:
            await asyncio.wait(tasks)
    return sessions, sent


def replays(service: Service, seconds: float, rate: float = CHUNKS_PER_S) -> dict[str, Any]:
    """Send, wait until all is stored, play; figures, and what went wrong."""
    body = {"name": "Bench", "host": "shop.example", "tracking_type": "full", "replay_sampling": 1}
    website = service.call("POST", "/websites", body)["data"]
    began = time.monotonic()
    _, sent = asyncio.run(send(service, website["pixel_key"], seconds, rate))
    sent_s = time.monotonic() - began
    with database(service.database_url) as found:
        until = time.monotonic() + 120
        while (stored := _stored(found.db, website["id"]))[0] < sent.ok and time.monotonic() < until:
            time.sleep(0.05)
        drained_s = time.monotonic() - began - sent_s
        chunks, distinct, stored_bytes, raw_bytes, minutes = stored
        on_disk = found.db.execute("SELECT pg_total_relation_size('replay_chunks')").fetchone()
    faults = [f"{count} answers {name}" for name, count in sent.answers.items()]
    if not chunks == distinct == sent.ok:
        faults.append(f"{sent.ok} ok, {chunks} counted, {distinct} stored")
    assert on_disk is not None
    return {
        "mode": "replays",
        "chunks_per_s": round(sent.ok / sent_s, 1),
        "chunks": chunks,
        "accepted_ms": sent.latencies.summary_ms(),
        "drained_s": round(drained_s, 2),
        "compression": round(raw_bytes / max(1, stored_bytes), 1),
        "stored_kb_per_minute": round(stored_bytes / 1000 / max(0.001, minutes), 1),
        "table_kb_per_minute": round(on_disk[0] / 1000 / max(0.001, minutes), 1),
        "first_byte_ms": _first_bytes(service, website["id"]).summary_ms(),
        "faults": faults,
    }


def _stored(db: Any, website_id: int) -> tuple[int, int, int, int, float]:
    """Chunks by the recordings' sums and by rows; bytes compressed and not; minutes, a chunk being five seconds."""
    row = db.execute(
        "SELECT coalesce(sum(chunks), 0)::int, (SELECT count(*)::int FROM replay_chunks), "
        "coalesce(sum(stored_bytes), 0)::bigint, coalesce(sum(raw_bytes), 0)::bigint "
        "FROM replays WHERE website_id = %s",
        (website_id,),
    ).fetchone()
    return (*row, row[0] * CHUNK_EVERY_S / 60)


def _first_bytes(service: Service, website_id: int) -> Latencies:
    """From asking for playbacks to their first byte."""
    listed = service.call("GET", f"/websites/{website_id}/replays?limit={PLAYED}")["data"]
    seen = Latencies()
    for one in listed:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        headers = {"Authorization": f"Bearer {service.token}"}
        began = time.perf_counter()
        connection.request("GET", f"/analytics/websites/{website_id}/replays/{one['id']}/playback", headers=headers)
        answer = connection.getresponse()
        answer.read(1)
        seen.add(time.perf_counter() - began)
        json.loads(b"[" + answer.read())
        connection.close()
    return seen
