"""What a busy website looks for, and what that costs: goals of every kind and funnels, the load with them and without.

Some are met by most sessions, and some by hardly any.
"""

import time
from collections.abc import Iterable, Mapping
from statistics import geometric_mean
from typing import Any

from bench.ingest import Conditions, Run, faults, figures, ingest
from bench.profile import Profiler
from bench.service import Service

ROUNDS = 2
"""Without and with, so often in turns: what changes meanwhile (tables that grow, neighbours) touches both."""
AT_LEAST = 0.7
"""Of the rate without them: they may take 30 %."""
WARM_S = 5.0
READY_WITHIN_S = 60.0


def definitions(
    service: Service, under: Conditions, counts: Mapping[str, int], profiler: Profiler, rounds: int = ROUNDS
) -> dict[str, Any]:
    """The same load in turns on websites without and with so many `goals` and `funnels` each."""
    sites = {"without": service.new_websites(under.websites), "with": service.new_websites(under.websites)}
    define(service, [site["id"] for site in sites["with"]], goals(counts["goals"]), funnels(counts["funnels"]))
    keys = {name: tuple(site["pixel_key"] for site in some) for name, some in sites.items()}
    for some in keys.values():  # what is loaded, compiled and remembered once is no matter of definitions
        ingest(service, under.lasting(WARM_S), Profiler(None), some)
    runs: dict[str, list[Run]] = {"without": [], "with": []}
    for place in range(rounds):
        for name, done in runs.items():
            watched = profiler if name == "with" and place == rounds - 1 else Profiler(None)
            done.append(ingest(service, under, watched, keys[name]))
    return compared(runs, counts)


def compared(runs: Mapping[str, list[Run]], counts: Mapping[str, int]) -> dict[str, Any]:
    """The figures of all runs, and how each with definitions compares with the one without just before it."""
    found = {name: [figures(run) for run in done] for name, done in runs.items()}
    pairs = list(zip(found["with"], found["without"], strict=True))
    ratios = {
        "stored": [one["stored"]["per_s"] / max(1, other["stored"]["per_s"]) for one, other in pairs],
        **{
            f"cpu_{role}": [one["cpu_us_per_hit"][role] / other["cpu_us_per_hit"][role] for one, other in pairs]
            for role in ("all", "worker", "postgres", "kafka")
            if all(run["cpu_us_per_hit"].get(role) for run in found["with"] + found["without"])
        },
    }
    wrong = [f"{name}: {fault}" for name, done in runs.items() for run in done for fault in faults(run)]
    means = {name: round(geometric_mean(some), 3) for name, some in ratios.items() if all(some)}
    if means.get("stored", 0) < AT_LEAST:
        wrong.append(f"the rate with definitions is {means.get('stored', 0)} of that without, at least {AT_LEAST}")
    return {
        "definitions_each": dict(counts),
        "runs": found,
        "ratios": {name: [round(one, 3) for one in some] for name, some in ratios.items()},
        "means": means,
        "at_least": AT_LEAST,
        "cpu_us_per_hit": found["with"][-1]["cpu_us_per_hit"],
        "faults": wrong,
    }


def goals(count: int) -> list[dict[str, Any]]:
    """`count` goals that fit the traffic: of fifty, ten regular expressions, five thresholds, the rest comparisons."""
    made: list[dict[str, Any]] = []
    for number in range(count):
        match number % 10:
            case 0:
                goal = {"type": "pageview", "match_type": "starts_with", "match_value": f"/articles/{10 + number}"}
            case 1:
                goal = {
                    "type": "pageview",
                    "match_type": "ends_with",
                    "match_value": str(10 + number),
                    "count": "every",
                }
            case 2:
                goal = {"type": "pageview", "match_type": "regex", "match_value": f"^/articles/{number}[0-9]$"}
            case 3:
                goal = {"type": "pageview", "match_type": "regex", "match_value": f"(?i)ARTICLES/[0-9]?{number}$"}
            case 4:
                goal = {"type": "event", "match_type": "contains", "match_value": f"signup{number}"}
            case 5 if number % 20 == 5:
                goal = {"type": "pages_per_session", "match_value": str(2 + number // 5)}
            case 5:
                goal = {"type": "duration", "match_value": str(number)}
            case _:
                goal = {"type": "pageview", "match_value": f"/articles/{number}", "value": 5, "currency": "EUR"}
        made.append({"name": f"Goal {number}", **goal})
    return made


def funnels(count: int) -> list[dict[str, Any]]:
    """`count` funnels of three to six steps, each with an optional one: a fifth with wildcards, a tenth strict."""
    made = []
    for number in range(count):
        if number % 5 == 0:
            values = [f"/articles/{number % 10}*", f"/articles/*{number % 10}", f"/articles/{number}*"]
        else:
            values = [f"/articles/{number * 7 + step}" for step in range(3 + number % 4)]
        steps = [
            {"name": f"Step {place}", "match_type": "pageview", "match_value": value, "is_optional": place == 2}
            for place, value in enumerate(values, 1)
        ]
        if number % 4 == 3:
            steps[-1] |= {"match_type": "event", "match_value": f"signup{number}*"}
        made.append({"name": f"Funnel {number}", "is_strict": number % 10 == 9, "window_hours": 24, "steps": steps})
    return made


def define(service: Service, website_ids: Iterable[int], *kinds: list[dict[str, Any]]) -> None:
    """Give each website goals and funnels; returns once they are computed over what is stored."""
    waiting = []
    for website_id in website_ids:
        for kind, some in zip(("goals", "funnels"), kinds, strict=True):
            for body in some:
                made = service.call("POST", f"/websites/{website_id}/{kind}", body)["data"]
                waiting.append(f"/websites/{website_id}/{kind}/{made['id']}/backfill")
    until = time.monotonic() + READY_WITHIN_S
    while waiting and time.monotonic() < until:
        if service.call("GET", waiting[-1])["data"]["state"] == "done":
            waiting.pop()
        else:
            time.sleep(0.1)
