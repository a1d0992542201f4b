"""What a verdict costs: microseconds of CPU a hit, part by part. No service is needed."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from analytics_app.bots import headers
from analytics_app.bots.behaviour import WINDOW_MS, Source
from analytics_app.bots.crawlers import Crawlers
from analytics_app.bots.judging import Bench, Request, verdict_of, who_sent
from analytics_app.bots.rules import MatchType, Rule, RuleSet, RuleType
from analytics_app.intake.bots import declared
from analytics_app.records import Seen

BROWSERS = Path(__file__).parents[1] / "node_modules" / "user-agents" / "dist" / "user-agents.json"
HEADERS = {"Accept": "*/*", "Accept-Language": "en", "Origin": "https://example.com", "Sec-Fetch-Mode": "cors"}
TODAY = date(2026, 1, 1)
WANTED_US = 30.0
ROUNDS = 5
SALT = b"s" * 32


def verdicts() -> dict[str, Any]:
    """Judge 10,000 real browsers' hits, with 200 ranges and 20 words as rules; the best of five rounds of each part."""
    agents = [one["userAgent"] for one in json.loads(BROWSERS.read_text())]
    rules = RuleSet(
        [Rule(n, RuleType.BLACKLIST, MatchType.IP_RANGE, f"10.{n}.0.0/16") for n in range(200)]
        + [Rule(1000 + n, RuleType.BLACKLIST, MatchType.USER_AGENT, f"word{n}") for n in range(20)]
    )
    bench = Bench(Crawlers(), TODAY, rules_of=lambda _: rules, condemned_of=lambda _: {})
    hits = [Request(7, f"81.2.{n % 250}.{n % 99}", agent, HEADERS, "ab" * 8, 1) for n, agent in enumerate(agents)]
    seen = [Seen(7, "ab" * 8, "cd" * 8, f"{n % 50:032x}", n, n * 100, f"/page/{n % 300}") for n in range(len(agents))]
    parts: dict[str, float] = {
        "rules": _us(hits, lambda hit: rules.match(hit.address, hit.user_agent)),
        "lists": _us(hits, lambda hit: declared(hit.user_agent)),
        "headers": _us(hits, lambda hit: headers.oddities(hit.headers, hit.user_agent, TODAY)),
        "hashes of the sender": _us(hits, lambda hit: who_sent(SALT, 7, hit.address, hit.user_agent)),
        "rate and crawl shape": _behaviour_us(seen),
        "the verdict as a whole": _us(hits, lambda hit: verdict_of(hit, bench)),
    }

    def at_the_edge(hit: Request) -> None:
        who_sent(SALT, 7, hit.address, hit.user_agent)  # an address that is read here needs not be read for the rules
        verdict_of(hit, bench)

    parts["hashes and verdict, one after the other"] = _us(hits, at_the_edge)
    total = parts["hashes and verdict, one after the other"] + parts["rate and crawl shape"]
    faults = [] if total <= WANTED_US else [f"a hit costs {total:.1f} µs, {WANTED_US:.0f} wanted"]
    return {"mode": "bots", "hits": len(hits), "us": parts, "total_us": total, "faults": faults}


def _us(hits: Sequence[Any], of: Callable[[Any], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for hit in hits:
            of(hit)
        best = min(best, time.process_time() - began)
    return best / len(hits) * 1e6


def _behaviour_us(seen: Sequence[Seen]) -> float:
    """What the worker adds: each hit noted, and its sender looked at with every batch of fifty."""
    best = float("inf")
    for _ in range(ROUNDS):
        source = Source("ab" * 8)
        began = time.process_time()
        for number, one in enumerate(seen):
            source.see(one)
            if number % 50 == 0:
                source.leave_before(one.at_ms - WINDOW_MS)
        best = min(best, time.process_time() - began)
    return best / len(seen) * 1e6


def show_bots(console: Console, found: dict[str, Any]) -> None:
    """µs a hit by part, and together."""
    for part, us in found["us"].items():
        console.print(f"{us:6.1f} µs  {part}")
    total = f"[bold]{found['total_us']:6.1f} µs[/bold]  a hit of a sender who was not seen before"
    console.print(f"{total}: hashes, verdict, rate and shape ({WANTED_US:.0f} wanted)")
    for fault in found["faults"]:
        console.print(f"FAULT  {fault}", style="bold red", soft_wrap=True)
