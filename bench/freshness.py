"""How long after its `ok` a hit shows in the live view and in the statistics: of an idle service, and of a busy one."""

import http.client
import json
import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bench.agents import BROWSERS
from bench.generator import Order
from bench.ingest import Conditions
from bench.latencies import Latencies
from bench.load import load
from bench.service import Service
from bench.traffic import Traffic

ASKED_EVERY_S = 0.004
SHOWN_WITHIN_S = 10.0
PAUSE_S = 0.3
"""Up to so long passes between two hits, so that they do not fall in step with batches."""


class Client:
    """One keep-alive connection, for one thread."""

    def __init__(self, service: Service) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        self.headers = {"Authorization": f"Bearer {service.token}"}

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        self.connection.request("GET", f"/analytics{path}", headers=self.headers)
        return json.loads(self.connection.getresponse().read())

    def track(self, body: dict[str, Any]) -> Any:
        """The answer to a pageview of a browser."""
        headers = {"User-Agent": BROWSERS[0][0], "Content-Type": "text/plain"}
        self.connection.request("POST", "/analytics/track", json.dumps(body), headers)
        return json.loads(self.connection.getresponse().read())


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hit shows, and as which number."""

    name: str
    field: str


PLACES = (Place("realtime", "active_visitors"), Place("stats", "total_pageviews"))


def freshness(service: Service, samples: int, under: Conditions) -> dict[str, Any]:
    """Track new visitors one at a time and ask until each shows; latencies in ms by place, and what went wrong.

    Where `under` names a rate, hits on other websites are sent at that rate meanwhile.
    """
    if not under.rate:
        return _watched(service, samples)
    traffic = Traffic(
        f"127.0.0.1:{service.port}",
        tuple(site["pixel_key"] for site in service.new_websites(under.websites)),
        under.visitors,
        under.paths,
    )
    order = Order(service.port, under.connections, under.seconds, under.mix, traffic, 0, under.rate)
    with load([order]) as sending:
        sending.go()
        found = _watched(service, samples, until=time.monotonic() + under.seconds)
        sent = sending.result()
    answers = {outcome: count for outcome, count in sent.outcomes.items() if outcome != "ok"}
    found["faults"] += [f"of the load {count} were answered {outcome}" for outcome, count in answers.items()]
    return {**found, "rate": round(sent.outcomes["ok"] / (sent.ended_at - sent.began_at))}


def _watched(service: Service, samples: int, until: float | None = None) -> dict[str, Any]:
    website = service.new_websites(1)[0]
    seen = {place.name: Latencies() for place in PLACES}
    faults: list[str] = []
    rng = random.Random(1)  # noqa: S311 - no secret
    sender, readers = Client(service), {place.name: Client(service) for place in PLACES}
    with ThreadPoolExecutor(len(PLACES)) as pool:
        for number in range(1, samples + 1):
            if until is not None and time.monotonic() > until:
                samples = number - 1
                break
            time.sleep(rng.random() * PAUSE_S)
            who = {"visitor_id": str(uuid.uuid4()), "session_id": str(uuid.uuid4())}
            answer = sender.track({"key": website["pixel_key"], "path": f"/page/{number}", **who})
            ok_at = time.monotonic()
            if answer.get("ok") is not True:
                faults.append(f"answered {answer}")
                break
            waits = [pool.submit(_shown, _asker(readers[p.name], website["id"], p), number, ok_at) for p in PLACES]
            for place, wait in zip(PLACES, waits, strict=True):
                if (shown_s := wait.result()) is None:
                    faults.append(f"hit {number} did not show in {place.name} within {SHOWN_WITHIN_S:g} s")
                else:
                    seen[place.name].add(shown_s)
            if faults:
                break
    return {**{name: one.summary_ms() for name, one in seen.items()}, "samples": samples, "faults": faults}


def _asker(client: Client, website_id: int, place: Place) -> Callable[[], int]:
    return lambda: int(client.get(f"/websites/{website_id}/{place.name}")[place.field])


def _shown(ask: Callable[[], int], wanted: int, since: float) -> float | None:
    """Seconds from `since` until `ask` answers `wanted`; None where that takes too long."""
    while (now := time.monotonic()) - since < SHOWN_WITHIN_S:
        if ask() >= wanted:
            return time.monotonic() - since
        time.sleep(max(0.0, ASKED_EVERY_S - (time.monotonic() - now)))
    return None
