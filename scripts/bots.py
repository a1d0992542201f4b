"""Measure how well bots are known by their user agents, on lists that others collected.

    scripts/bots.py --bots CrawlerDetect/tests/data/user_agent/crawlers.txt --browsers device-detector/desktop.yml

A file holds one user agent a line, or is JSON or YAML with user agents in it as `user_agent`, `userAgent`, `ua`,
`user_agent_string` or `instances`. Whatever is missed, or wrongly taken for a bot, is shown. Nothing is fetched.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from analytics_app.bots.crawlers import Crawlers  # noqa: E402 - after the path is right
from analytics_app.bots.judging import Bench, Request, verdict_of  # noqa: E402
from analytics_app.bots.logic import Action  # noqa: E402

FIELDS = ("user_agent", "userAgent", "user_agent_string", "ua", "instances")
BROWSER = {"Accept": "*/*", "Accept-Language": "en", "Origin": "https://example.com", "Sec-Fetch-Mode": "cors"}
"""The headers of a browser's own request: only the user agent is judged."""
OUT = (Action.LEFT_OUT, Action.BLOCKED)


def agents_in(path: Path) -> list[str]:
    """The user agents that a file holds, each once, in order."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        found = _within(json.loads(text))
    elif path.suffix in (".yml", ".yaml"):
        found = _within(yaml.load(text, yaml.CSafeLoader))
    else:
        found = iter(line.strip() for line in text.splitlines() if not line.startswith("#"))
    return [agent for agent in dict.fromkeys(found) if agent]


def _within(value: Any, *, told: bool = False) -> Iterator[str]:
    if isinstance(value, str):
        if told:
            yield value
    elif isinstance(value, list):
        for one in value:
            yield from _within(one, told=told or isinstance(one, str))
    elif isinstance(value, dict):
        for name, one in value.items():
            if name in FIELDS:
                yield from _within(one, told=True)
            elif isinstance(one, list | dict) and name not in ("bot", "client", "os", "device"):
                yield from (agent for agent in _within(one) if isinstance(one, list | dict))


def taken_for_bots(agents: list[str]) -> tuple[list[str], list[str], float]:
    """Those that a browser's request would be taken for a bot's by, the others, and the microseconds each took."""
    bench = Bench(Crawlers(), date(2026, 1, 1))
    verdict_of(Request(1, "81.2.69.142", "curl/8", BROWSER), bench)  # loads the lists
    began = time.perf_counter()
    verdicts = [verdict_of(Request(1, "81.2.69.142", agent, BROWSER), bench) for agent in agents]
    took_us = (time.perf_counter() - began) * 1e6 / max(1, len(agents))
    bots = [agent for agent, verdict in zip(agents, verdicts, strict=True) if verdict.action in OUT]
    others = [agent for agent, verdict in zip(agents, verdicts, strict=True) if verdict.action not in OUT]
    return bots, others, took_us


def main() -> int:
    """Print recall and false positives; 1 where either is beyond what was asked for."""
    parser = argparse.ArgumentParser(prog="bots", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bots", type=Path, action="append", default=[], metavar="FILE", help="user agents of bots")
    parser.add_argument("--browsers", type=Path, action="append", default=[], metavar="FILE", help="of people")
    parser.add_argument("--recall", type=float, default=0.0, metavar="PERCENT", help="at least; %(default)s")
    parser.add_argument("--wrong", type=float, default=100.0, metavar="PERCENT", help="at most; %(default)s")
    parser.add_argument("--show", type=int, default=50, help="so many of what went wrong; %(default)s")
    given = parser.parse_args()
    good, lines = True, []
    for path in given.bots:
        agents = agents_in(path)
        known, missed, took_us = taken_for_bots(agents)
        recall = 100 * len(known) / max(1, len(agents))
        good &= recall >= given.recall and bool(agents)
        said = f"{len(known):,} of {len(agents):,} bots known, recall {recall:.2f} %"
        lines += [f"{path}: {said}, {took_us:.1f} µs each, unseen"]
        lines += [f"  missed: {agent[:200]}" for agent in missed[: given.show]]
    for path in given.browsers:
        agents = agents_in(path)
        wrong, _, took_us = taken_for_bots(agents)
        share = 100 * len(wrong) / max(1, len(agents))
        good &= share <= given.wrong and bool(agents)
        said = f"{len(wrong):,} of {len(agents):,} taken for bots, {share:.2f} %"
        lines += [f"{path}: {said}, {took_us:.1f} µs each, unseen"]
        lines += [f"  taken for a bot: {agent[:200]}" for agent in wrong[: given.show]]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
