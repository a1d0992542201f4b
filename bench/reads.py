"""How fast questions about much traffic are answered: a website is seeded, then asked, one question at a time."""

import http.client
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from bench.latencies import Latencies
from bench.service import Service, ServiceFailed

ASKED = 50


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


def reads(service: Service, events: int, days: int) -> dict[str, Any]:
    """Seed a website and ask each question 50 times; latencies in ms, what they should be, and bytes on disk."""
    website = service.new_websites(1)[0]["id"]
    began = time.monotonic()
    words = ("seed", "--website", str(website), "--events", str(events), "--days", str(days))
    answer = service.command(*words)
    if answer.returncode:
        raise ServiceFailed(f"analytics seed: {answer.stderr or answer.stdout}")
    seeded_s = time.monotonic() - began
    since = (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
    large = events > 3_000_000
    found = []
    for question in QUESTIONS:
        period = () if question.path == "realtime" else (("start_date", since),)
        path = f"/analytics/websites/{website}/{question.path}?{urlencode((*period, *question.asked))}"
        latencies = _asked(service, path)
        wanted = question.within_ms[large]
        found.append({"question": question.name, "within_ms": wanted, **latencies.summary_ms()})
    return {
        "mode": "reads",
        "conditions": {"events": events, "days": days, "asked": ASKED},
        "seeded_s": round(seeded_s, 1),
        "questions": found,
        "faults": _faults(service),
    }


def _asked(service: Service, path: str) -> Latencies:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    seen = Latencies()
    for _ in range(ASKED):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {service.token}"})
        answer = connection.getresponse()
        body = answer.read()
        seen.add(time.perf_counter() - began)
        if answer.status != http.client.OK:
            raise ServiceFailed(f"{path}: {answer.status} {json.loads(body).get('error', '')}")
    connection.close()
    return seen


def _faults(service: Service) -> list[str]:
    answer = service.command("verify")
    return [] if answer.returncode == 0 else [line for line in answer.stdout.splitlines() if line][:20]
