"""A visitor erased, and one anonymised, on the whole service: every field of every public call says one word."""

import asyncio
import json
import os
import secrets
import signal
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from analytics_app.settings import settings
from analytics_app.stream.plans import plans
from tests.e2e.conftest import client_of
from tests.e2e.marking import USER_AGENT, Marker
from tests.e2e.scanning import files_saying, tables_saying, topics_saying, worker_tables_saying
from tests.e2e.service import Service
from tests.web.calls import Caller, new_experiment

pytestmark = pytest.mark.services

TOKEN = secrets.token_urlsafe(24)
STORED = ("hits", "exposures", "replay-chunks", "heatmap-samples", "visitor-events", "bot-detections")
REMEMBERED = {"erasures"}
"""Who must not come back is remembered there alone, by hash."""
DAY = timedelta(days=1)
DATES = {
    "start_date": f"{datetime.now(UTC) - 2 * DAY:%Y-%m-%d}",
    "end_date": f"{datetime.now(UTC) + DAY:%Y-%m-%d}",
}
DIMENSIONS = ("page", "entry_page", "exit_page", "referrer", "source", "channel", "utm_source", "utm_term", "country",
              "device_type", "browser", "os", "language", "screen", "event")  # fmt: skip
NO_STATS = ("/stream", "/replays", "/export", "/conversions", "/bots/detections", "/bots/rules")
"""Lists that name visitors, or recordings, which go with the one they show."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose tables are swept every two seconds."""
    folder = tmp_path_factory.mktemp("erasure") / "data"
    settings = {
        "ANALYTICS_BOOTSTRAP_TOKEN": TOKEN,
        "ANALYTICS_TRACKING_RATE_LIMIT": "off",
        "ANALYTICS_BOTS_BEHAVIOUR": "off",  # one address sends for all
        "ANALYTICS_TABLES_SWEPT_EVERY_S": "2",
    }
    with Service(folder, **settings) as service:
        yield service
        assert service.stop() == 0, service.text()


@pytest.fixture(scope="module")
async def admin(service: Service) -> AsyncIterator[Caller]:
    async with client_of(service.address) as client:
        yield Caller(client, TOKEN)  # type: ignore[arg-type]


@dataclass
class Site:
    """A website of which everything is recorded, its definitions, and a visitor whose every text says one word."""

    service: Service
    admin: Caller
    id: int
    key: str
    marker: Marker
    ids: dict[str, int]
    sent: int = 0
    answers: list[tuple[str, int, str]] = field(default_factory=list)

    async def hash(self) -> str:
        body = {"visitor_id": self.marker.visitor, "pixel_key": self.key}
        return (await (await self.admin.post("/analytics/gdpr/lookup", json=body)).json())["data"]["visitor_hash"]

    async def view(self, visitor: str, session: str, **values: Any) -> bool:
        """Track a pageview; returns whether it was taken."""
        body = {"key": self.key, "visitor_id": visitor, "session_id": session, "path": "/", **values}
        body["id"] = str(uuid.uuid4())
        for _ in range(40):  # 503 while a process is away: the same id counts once
            with suppress(OSError):
                answer = await self.admin.post("/analytics/track", json=body, headers={"User-Agent": USER_AGENT})
                if answer.status == 200:
                    return "ignored" not in await answer.json()
            await asyncio.sleep(0.25)
        raise AssertionError("a hit is not taken")

    async def walk(self) -> None:
        """Make every public call of the OpenAPI document with the marker; withdrawal of consent last."""
        openapi = await (await self.admin.get("/analytics/openapi.json")).json()
        calls = sorted(self.marker.calls(openapi), key=lambda call: (call[0] == "delete", "/track" not in call[1]))
        for method, path, options in calls:
            answer = await self.admin.call(method.upper(), path, **options)
            said = answer.headers.get("X-Analytics") or await answer.text()
            self.answers.append((f"{method} {path}", answer.status, said))
            if path == "/analytics/track":
                self.marker.known["event_id"] = json.loads(said)["event_id"]
                # One that is judged a bot's, and one more once the worker is to write what it holds.
                driven = {"webdriver": True, "title": self.marker.word, "path": f"/{self.marker.word}/driven"}
                assert await self.view(self.marker.visitor, self.marker.session, **driven)

    async def stats(self) -> dict[str, bytes]:
        """What every endpoint that takes dates answers, by address: to the byte."""
        openapi = await (await self.admin.get("/analytics/openapi.json")).json()
        found = {}
        for path, said in openapi["paths"].items():
            if "get" not in said or any(part in path for part in NO_STATS):
                continue
            query = {one["name"]: one["schema"] for one in said["get"].get("parameters", ()) if one["in"] == "query"}
            if not ({"start_date", "end_date"} <= set(query) and path.startswith("/analytics/websites/{website_id}")):
                continue
            address = path
            for name, value in self.ids.items():
                address = address.replace(f"{{{name}}}", str(value))
            choices: list[dict[str, str]] = [{}]
            if "dimension" in query:
                choices = [{"dimension": one} for one in DIMENSIONS]
            elif "interval" in query:
                choices = [{"interval": one} for one in ("hour", "day", "week", "month")]
            for choice in choices:
                answer = await self.admin.get(address, params={**DATES, **choice})
                assert answer.status == 200, (address, await answer.text())
                found[f"{address} {choice}"] = await answer.read()
        return found


@pytest.fixture
async def site(service: Service, admin: Caller) -> Site:
    website = await admin.new_website(tracking_type="full", replay_sampling=1)
    path = f"/analytics/websites/{website['id']}"
    experiment_id, variants = await new_experiment(admin, website["id"], start=True, goal_value="/*")
    ids = {"website_id": website["id"], "experiment_id": experiment_id}
    goal = {"name": "Any", "type": "pageview", "match_type": "starts_with", "match_value": "/"}
    steps = [{"name": "Any", "match_type": "pageview", "match_value": "*"}]
    steps += [{"name": "More", "match_type": "pageview", "match_value": "*"}]
    heatmap = {"name": "Any", "url_pattern": "*", "type": "click"}
    for name, where, body in (
        ("goal_id", "goals", goal),
        ("funnel_id", "funnels", {"name": "Any", "steps": steps}),
        ("heatmap_id", "heatmaps", heatmap),
    ):
        made = await admin.post(f"{path}/{where}", json=body)
        assert made.status == 201, await made.text()
        ids[name] = (await made.json())["data"]["id"]
    marker = Marker(website, experiment_id, variants[0])
    return Site(service, admin, website["id"], website["pixel_key"], marker, ids)


async def settled(service: Service, within_s: float = 60) -> None:
    """Returns when all that Kafka holds of every stored topic is stored."""
    consumer = AIOKafkaConsumer(bootstrap_servers=service.noted("kafka_bootstrap"), enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(f"analytics-{topic}", number) for topic in STORED for number in range(4)]
        until = time.monotonic() + within_s
        quiet = 0
        while quiet < 2:  # what is stored may be sent on
            ends = await consumer.end_offsets(places)
            rows = service.sql("SELECT topic, partition, next_offset FROM stream_positions")
            positions = {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}
            behind = {place: end for place, end in ends.items() if positions.get(place, 0) < end}
            quiet = 0 if behind else quiet + 1
            assert time.monotonic() < until, f"not stored in time: {behind}"
            await asyncio.sleep(0.2)
    finally:
        await consumer.stop()


async def until(condition: Callable[[], Awaitable[Any]], within_s: float) -> Any:
    """Returns what `condition` gives once that is true; the last it gave is told where it never is."""
    end = time.monotonic() + within_s
    while not (found := await condition()):
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.5)
    return found


async def nothing(look: Callable[[], Awaitable[set[str]]], within_s: float) -> None:
    """Returns once `look` finds nothing."""
    end = time.monotonic() + within_s
    while found := await look():
        assert time.monotonic() < end, f"still found in {sorted(found)}"
        await asyncio.sleep(2)


def kill_worker(service: Service) -> None:
    """SIGKILL every worker; the supervisor starts them again."""
    for role, pid in service.processes():
        if role == "worker":
            os.kill(pid, signal.SIGKILL)


async def put_failing(service: Service, visitor: str, word: str, website_id: int) -> None:
    """Put a record into the topic of hits that cannot be stored, and names the visitor."""
    hit = {"t": "hit", "event_id": -1, "at_ms": 1, "website_id": website_id, "visitor": visitor, "path": f"/{word}"}
    producer = AIOKafkaProducer(bootstrap_servers=service.noted("kafka_bootstrap"))
    await producer.start()
    value = json.dumps({"writer": "by-hand", "sequence": 1, "hits": [hit]}).encode()
    await producer.send_and_wait("analytics-hits", value, partition=0)
    await producer.stop()


@asynccontextmanager
async def forced(service: Service) -> AsyncIterator[None]:
    """Have Kafka forget within seconds what its topics' own settings let it keep for hours; afterwards as it was.

    What is not stored within these seconds would be gone.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=service.noted("kafka_bootstrap"))
    await admin.start()
    soon = {"segment.ms": "100", "file.delete.delay.ms": "100"}
    compacted = {
        "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "100",
        "delete.retention.ms": "100", **soon,
    }  # fmt: skip

    async def configure(topic: str, config: dict[str, str]) -> None:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=config)])

    try:
        for plan in plans(settings()):
            changelog = plan.name.endswith("-changelog")
            await configure(plan.name, compacted if changelog else {"retention.ms": "1000", **soon})
        yield
        for plan in plans(settings()):
            await configure(plan.name, plan.config)
    finally:
        await admin.close()


@asynccontextmanager
async def others(site: Site) -> AsyncIterator[None]:
    """Other visitors of the website, who go on meanwhile; `site.sent` counts their pageviews."""
    going = True
    # So many pages a second from one address would be taken for a machine's.
    rule = {"rule_type": "whitelist", "match_type": "ip_range", "match_value": "127.0.0.0/8"}
    made = await site.admin.post(f"/analytics/websites/{site.id}/bots/rules", json=rule)
    assert made.status == 201, await made.text()
    await asyncio.sleep(2)  # until every process knows of it

    async def go(number: int) -> None:
        while going:
            assert await site.view(f"other {number}", f"other session {number}", path=f"/other/{number}")
            site.sent += 1
            await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(go(number)) for number in range(8)]
    try:
        yield
    finally:
        going = False
        await asyncio.gather(*tasks)


async def done(site: Site, receipt_id: int) -> bool:
    answer = await site.admin.get(f"/analytics/gdpr/receipts/{receipt_id}")
    return (await answer.json())["data"]["state"] == "done"


async def test_what_a_visitor_sent_in_any_field_is_nowhere_once_it_is_deleted_and_forgotten(site: Site):
    service, word = site.service, site.marker.word
    await site.walk()
    wrong = [one for one in site.answers if one[1] != 200 or "ignored" in one[2]]
    assert not wrong, "\n".join(map(str, wrong))
    assert len(site.answers) >= 12, site.answers
    assert {"path", "title", "referrer", "utm_term", "selector", "policy_version", "events", "properties", "name", "p",
            "t", "r"} <= site.marker.filled  # fmt: skip
    visitor = await site.hash()
    await put_failing(service, visitor, word, site.id)
    await site.admin.post("/analytics/gdpr/consent", json={"visitor_id": site.marker.visitor, "pixel_key": site.key,
                                                           "policy_version": word})  # fmt: skip
    await asyncio.sleep(6)  # what is held for some seconds is written by then
    for number in range(2):
        assert await site.view(site.marker.visitor, site.marker.session, path=f"/{word}/again/{number}")
        await settled(service)

    # The control: before, all of this does say it.
    names = (word, visitor, str(uuid.UUID(visitor)))
    before = tables_saying(service, *names)
    assert before >= {"terms", "events", "consents", "consent_changes", "visitors", "bot_detections", "replays",
                      "replay_chunks", "heatmap_samples", "failed_records", "session_states", "live_views"}  # fmt: skip
    assert {one.removeprefix("analytics-") for one in await topics_saying(service, word)} >= {
        "hits", "replay-chunks", "heatmap-samples", "activity", "visitor-events", "bot-detections",
        "sessions-changelog", "realtime-changelog",
    }  # fmt: skip
    assert worker_tables_saying(service, word) >= {"sessions", "realtime"}
    assert any("kafka" in one for one in files_saying(service, word))
    export = await site.admin.get(f"/analytics/gdpr/export/{visitor}")
    assert (await export.text()).count(word) > 100

    answer = await site.admin.delete(f"/analytics/gdpr/visitor/{visitor}")
    erased = await answer.json()
    assert answer.status == 200, erased
    assert all(erased["deleted_counts"].values()), erased
    await until(lambda: done(site, erased["receipt_id"]), 120)
    await asyncio.sleep(1)
    assert tables_saying(service, *names) == REMEMBERED
    assert tables_saying(service, word) == set()
    assert (await site.admin.get(f"/analytics/gdpr/export/{visitor}")).status == 404
    for answered in (await site.stats()).values():
        assert word.encode() not in answered

    # Everything once more, from the first record that Kafka has.
    kill_worker(service)
    service.sql("UPDATE stream_positions SET next_offset = 0 RETURNING 1")
    service.sql("DELETE FROM stream_writers RETURNING 1")
    await settled(service)
    assert tables_saying(service, word) <= {"failed_records"}
    service.sql("DELETE FROM failed_records RETURNING 1")  # put there by hand, and stored once more
    assert tables_saying(service, *names) == REMEMBERED

    # What the receipt says Kafka will have done by its time, at once.
    async with forced(service):
        await nothing(lambda: topics_saying(service, word), 180)
        await nothing(lambda: asyncio.to_thread(worker_tables_saying, service, word), 30)
        await nothing(lambda: asyncio.to_thread(files_saying, service, word), 90)


@pytest.mark.long
async def test_a_visitor_is_deleted_while_others_go_on_and_the_worker_is_killed(site: Site):
    service, word = site.service, site.marker.word
    async with others(site):
        await site.walk()
        await site.admin.post("/analytics/gdpr/consent", json={"visitor_id": site.marker.visitor,
                                                               "pixel_key": site.key})  # fmt: skip
        await asyncio.gather(*(site.view(site.marker.visitor, site.marker.session, path=f"/{word}") for _ in range(20)))
        visitor = await site.hash()
        answer = await site.admin.delete(f"/analytics/gdpr/visitor/{visitor}")
        kill_worker(service)
        assert answer.status == 200, await answer.text()
        receipt_id = (await answer.json())["receipt_id"]
        await asyncio.sleep(20)
        kill_worker(service)
        await until(lambda: done(site, receipt_id), 150)
    await settled(service)
    await asyncio.sleep(2)
    assert tables_saying(service, word) == set()
    assert tables_saying(service, visitor, str(uuid.UUID(visitor))) == REMEMBERED
    stats = await (await site.admin.get(f"/analytics/websites/{site.id}/stats", params=DATES)).json()
    assert (stats["total_pageviews"], stats["unique_visitors"]) == (site.sent, 8)
    checked = await asyncio.to_thread(service.command, "verify")
    assert checked.returncode == 0, checked.stdout


async def test_anonymised_every_answer_stays_to_the_byte_and_no_row_leads_to_the_visitor(site: Site, admin: Caller):
    service, word = site.service, site.marker.word
    busy = Site(service, admin, 0, "", site.marker, {})
    website = await admin.new_website()
    busy.id, busy.key = website["id"], website["pixel_key"]
    async with others(busy):
        await site.walk()
        await site.admin.post("/analytics/gdpr/consent", json={"visitor_id": site.marker.visitor,
                                                               "pixel_key": site.key})  # fmt: skip
        for number in range(3):
            assert await site.view(f"other {number}", f"other {number}", path="/")
        await settled_of(site)
        visitor = await site.hash()
        names = (visitor, str(uuid.UUID(visitor)))
        assert tables_saying(service, *names) >= {
            "visitors",
            "consents",
            "bot_detections",
            "heatmap_samples",
            "replays",
        }
        before = await site.stats()
        assert len(before) > 20, sorted(before)
        assert sum(word.encode() in answer for answer in before.values()) > 3
        answer = await site.admin.post(f"/analytics/gdpr/anonymise/{visitor}")
        assert answer.status == 200, await answer.text()
        kill_worker(service)
        counts = (await answer.json())["anonymised_counts"]
        assert [kind for kind, count in counts.items() if not count] == ["failed_records"], counts
        await asyncio.sleep(8)
        await settled_of(site)
        after = await site.stats()
        assert {
            address: (answer, after[address]) for address, answer in before.items() if answer != after[address]
        } == {}
        assert tables_saying(service, *names) == REMEMBERED
        assert (await site.admin.get(f"/analytics/gdpr/export/{visitor}")).status == 404


async def settled_of(site: Site) -> None:
    """Returns when what the quiet website was sent is stored, while others go on."""
    await asyncio.sleep(3)
    path = f"/analytics/websites/{site.id}/stats"
    last = b""
    for _ in range(60):
        answer = await (await site.admin.get(path, params=DATES)).read()
        if answer == last:
            return
        last = answer
        await asyncio.sleep(2)


async def test_what_is_on_its_way_when_a_visitor_is_anonymised_counts_all_the_same(site: Site):
    service = site.service
    assert await site.view(site.marker.visitor, site.marker.session)
    await settled(service)
    visitor = await site.hash()
    workers = [pid for role, pid in service.processes() if role == "worker"]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        for number in range(10):
            assert await site.view(site.marker.visitor, site.marker.session, path=f"/late/{number}")
        answer = await site.admin.post(f"/analytics/gdpr/anonymise/{visitor}")
        assert answer.status == 200, await answer.text()
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    await settled(service)
    stats = await (await site.admin.get(f"/analytics/websites/{site.id}/stats", params=DATES)).json()
    assert stats["total_pageviews"] == 11
    assert tables_saying(service, visitor, str(uuid.UUID(visitor))) <= REMEMBERED
    checked = await asyncio.to_thread(service.command, "verify")
    assert checked.returncode == 0, checked.stdout
