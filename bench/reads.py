"""How fast questions about much traffic are answered: a website is seeded, then asked, one question at a time."""

import http.client
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from bench.latencies import Latencies
from bench.recount import compared, recounted
from bench.service import Service, ServiceFailed
from bench.usage import read_cpu, used

ASKED = 50
MANY = 3_000_000
"""Of so many events answers may take longer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and in how many milliseconds 99 % of its answers should come: of a million events, of ten."""

    name: str
    path: str
    asked: tuple[tuple[str, str], ...]
    within_ms: tuple[float, float]


def _stats(*filters: str) -> Question:
    asked = tuple(("filter", one) for one in filters)
    return Question(f"stats {' '.join(filters)}".strip(), "stats", asked, (250, 1000) if filters else (25, 50))


def _series(metric: str, timezone: str = "UTC") -> Question:
    asked = (("metric", metric), ("interval", "day"), ("timezone", timezone))
    return Question(f"timeseries {metric}, {timezone}", "timeseries", asked, (25, 50))


def _breakdown(dimension: str, *filters: str) -> Question:
    asked = (("dimension", dimension), *(("filter", one) for one in filters))
    name = f"breakdown {dimension} {' '.join(filters)}".strip()
    return Question(name, "breakdown", asked, (250, 1000) if filters else (100, 300))


QUESTIONS = (
    _stats(),
    _series("pageviews"),
    _series("visitors"),
    _series("visitors", "Asia/Kolkata"),
    _breakdown("page"),
    _breakdown("source"),
    _breakdown("browser"),
    _stats("country:is:GB"),
    _stats("browser:is_not:Chrome"),
    _stats("source:matches:^(Google|Bing)$"),
    _stats("page:is:/pricing"),
    _stats("page:contains:docs"),
    _breakdown("page", "country:is:GB"),
    _breakdown("source", "country:is:GB"),
    Question("realtime", "realtime", (), (10, 10)),
)


def reads(service: Service, events: int, days: int, *, recount: bool, asked: int = ASKED) -> dict[str, Any]:
    """Ask each question often of a seeded website; latencies and CPU in ms, what they should be, and what is wrong.

    With `recount` every answer is compared with one from the raw rows, and `analytics verify` is asked.
    """
    website, seeded_s = seeded(service, events, days)
    since = (datetime.now(UTC) - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    found: list[dict[str, Any]] = []
    wrong: list[str] = []
    processes = service.processes()
    for question in QUESTIONS:
        period = () if question.path == "realtime" else (("start_date", since.date().isoformat()),)
        path = f"/analytics/websites/{website}/{question.path}?{urlencode((*period, *question.asked))}"
        before = read_cpu(processes)
        latencies = ask_often(service, path, asked)
        cpu_s = used(before, read_cpu(processes)).by_role
        wanted = question.within_ms[events > MANY]
        cpu = {f"{role}_cpu": round(cpu_s.get(role, 0.0) / asked * 1000, 1) for role in ("web", "postgres")}
        found.append({"question": question.name, "within_ms": wanted, **latencies.summary_ms(), **cpu})
        if recount and question.path in ("stats", "breakdown"):
            told = service.call("GET", path.removeprefix("/analytics"))
            wrong += compared(question.name, told, recounted(service.database_url, website, since, question.asked))
    late = [f"{one['question']}: p99 {one['p99']} ms" for one in found if one["p99"] > one["within_ms"]]
    return {
        "mode": "reads",
        "conditions": {"events": events, "days": days, "asked": asked, "recounted": recount},
        "machine": {"cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2)},
        "seeded_s": round(seeded_s, 1),
        "late": late,
        "questions": found,
        "faults": [*wrong, *(faults(service) if recount else ())],
    }


def seeded(service: Service, events: int, days: int) -> tuple[int, float]:
    """The website with so much seeded traffic, and in how many seconds it was made: one that is there serves again."""
    name = f"{events} events of {days} days"
    for site in service.call("GET", "/websites?limit=1000")["data"]:
        if site["name"] == name:
            return site["id"], 0.0
    website = service.new_websites(1)[0]["id"]
    began = time.monotonic()
    answer = service.command("seed", "--website", str(website), "--events", str(events), "--days", str(days))
    if answer.returncode:
        raise ServiceFailed(f"analytics seed: {answer.stderr or answer.stdout}")
    service.call("PATCH", f"/websites/{website}", {"name": name})
    return website, time.monotonic() - began


def ask_often(service: Service, path: str, times: int = ASKED) -> Latencies:
    """How long the answers to a question take. Raises ServiceFailed where one is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    seen = Latencies()
    for _ in range(times):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {service.token}"})
        answer = connection.getresponse()
        body = answer.read()
        seen.add(time.perf_counter() - began)
        if answer.status != http.client.OK:
            raise ServiceFailed(f"{path}: {answer.status} {json.loads(body).get('error', '')}")
    connection.close()
    return seen


def faults(service: Service) -> list[str]:
    """What a recount finds wrong."""
    answer = service.command("verify")
    if answer.returncode == 0:
        return []
    return [line for line in answer.stdout.splitlines() if line][:20] or [f"verify ended with {answer.returncode}"]
