"""Measure the service on this machine, started as its user starts it: `make bench`, `make bench ARGS="freshness"`."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # not this folder, whose bench.py hides the package

from bench.bare import bare  # noqa: E402 - after the path is right
from bench.bots import show_bots, verdicts  # noqa: E402
from bench.definitions import WARM_S, definitions  # noqa: E402
from bench.freshness import freshness  # noqa: E402
from bench.growth import MORE_WITH_TWO_WORKERS, compared, growth, websites  # noqa: E402
from bench.heatmaps import heatmaps  # noqa: E402
from bench.ingest import Conditions, figures, ingest  # noqa: E402
from bench.memory import memory  # noqa: E402
from bench.profile import Profiler  # noqa: E402
from bench.rate import highest_rate  # noqa: E402
from bench.reads import reads  # noqa: E402
from bench.replays import replays  # noqa: E402
from bench.report import (  # noqa: E402
    show_definitions,
    show_freshness,
    show_growth,
    show_ingest,
    show_memory,
    show_profile,
    show_rate,
    show_reads,
    show_replays,
)
from bench.service import Service, ServiceFailed, service  # noqa: E402
from bench.variant import show_variant, variant  # noqa: E402

MODES = {
    "ingest": show_ingest,
    "batch": show_ingest,
    "freshness": show_freshness,
    "reads": show_reads,
    "replay": show_replays,
    "rate": show_rate,
    "growth": show_growth,
    "websites": show_growth,
    "workers": show_growth,
    "memory": show_memory,
    "variant": show_variant,
    "definitions": show_definitions,
    "bots": show_bots,
    "heatmap": show_reads,
}
BATCH_CONNECTIONS = 8
"""Of callers that send batches: with more, all together wait longer for Kafka than any may."""


def arguments(words: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("mode", nargs="?", default="ingest", choices=tuple(MODES))
    standard = Conditions()
    parser.add_argument("--seconds", type=float, default=standard.seconds, help="of load; %(default)s")
    parser.add_argument("--connections", type=int, help=f"{standard.connections}; {BATCH_CONNECTIONS} for batch")
    parser.add_argument(
        "--rate",
        type=float,
        default=0.0,
        help="requests a second; rate: the one to try, not search; freshness: meanwhile",
    )
    parser.add_argument("--sessions", type=int, default=100_000, help="live ones, for memory; %(default)s")
    parser.add_argument("--soak", type=float, default=0.0, metavar="S", help="memory: then so long at 500/s; off")
    parser.add_argument("--websites", type=int, help=f"{standard.websites}; 1 for definitions")
    parser.add_argument("--visitors", type=int, default=standard.visitors, help="%(default)s")
    parser.add_argument("--paths", type=int, default=standard.paths, help="%(default)s")
    parser.add_argument(
        "--mix",
        choices=("single", "real", "busy"),
        help="single: pageviews; real: each with 4 heartbeats and a leave; busy: a fifth are events, for definitions",
    )
    parser.add_argument("--generators", type=int, default=1, help="processes of the load; %(default)s")
    parser.add_argument("--goals", type=int, default=50, help="of each website, for definitions; %(default)s")
    parser.add_argument("--funnels", type=int, default=20, help="of each website, for definitions; %(default)s")
    parser.add_argument("--events", type=int, default=1_000_000, help="(samples) that is asked about; %(default)s")
    parser.add_argument("--asked", type=int, default=50, help="times each question, for reads; %(default)s")
    parser.add_argument("--recount", action="store_true", help="reads: and compare answers with the raw rows")
    parser.add_argument("--days", type=int, default=30, help="over which these lie; %(default)s")
    parser.add_argument("--samples", type=int, default=100, help="hits of freshness; %(default)s")
    parser.add_argument("--web", type=int, default=1, help="web processes; %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="workers; %(default)s")
    parser.add_argument("--data-dir", type=Path, help="a data folder to use and keep; a new one, deleted, unless named")
    parser.add_argument("--set", action="append", default=[], metavar="ANALYTICS_X=Y", help="a setting of the service")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--profile", type=Path, metavar="FOLDER", help="profile web and worker by py-spy; stacks go there"
    )
    parser.add_argument("--native", action="store_true", help="profile C code, too; slows what is profiled")
    return parser.parse_args(words)


def main() -> int:
    """Run; returns 1 where anything was lost, doubled, or differs from a recount."""
    given, console = arguments(sys.argv[1:]), Console(highlight=False)
    settings = dict(one.split("=", 1) for one in given.set)
    try:
        with console.status("starting the service") as status:
            if given.mode == "bots":
                found = verdicts()
            elif given.mode == "workers":
                found = workers(given, settings)
            elif given.mode == "growth":
                found = history(given, settings)
            else:
                with service(
                    data_dir=given.data_dir, web=given.web, workers=given.workers, settings=settings
                ) as running:
                    status.update(f"measuring {given.mode}")
                    found = measure(running, given)
    except ServiceFailed as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    profiles = found.pop("profiles", {})
    MODES[given.mode](console, found)
    for name, stacks in profiles.items():
        per_hit_us = found["cpu_us_per_hit"][name.partition("-")[0]]
        show_profile(console, name, stacks, per_hit_us, str(ROOT))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if found["faults"] else 0


def workers(given: argparse.Namespace, settings: dict[str, str]) -> dict[str, Any]:
    """The worker's CPU a hit with one worker and with two, each on a service of its own."""
    runs, under = [], conditions_of(given)
    for count in (1, 2):
        with service(data_dir=None, web=given.web, workers=count, settings=settings) as running:
            ingest(running, under.lasting(WARM_S), Profiler(None))  # what is loaded and compiled once
            runs.append((f"{count} worker{'s' * (count > 1)}", ingest(running, under, Profiler(None))))
    (one, _), (two, _) = runs
    return {"mode": given.mode, **compared(runs, [(two, one, "worker", MORE_WITH_TWO_WORKERS)])}


def history(given: argparse.Namespace, settings: dict[str, str]) -> dict[str, Any]:
    """A hit's CPU on a new service and on one with many events (in `--data-dir`, where they are kept)."""
    with (
        service(data_dir=None, web=given.web, workers=given.workers, settings=settings) as fresh,
        service(data_dir=given.data_dir, web=given.web, workers=given.workers, settings=settings) as old,
    ):
        return {"mode": given.mode, **growth(fresh, old, conditions_of(given), given.events)}


def conditions_of(given: argparse.Namespace) -> Conditions:
    """Those that were asked for."""
    batches, defined = given.mode == "batch", given.mode == "definitions"
    return Conditions(
        seconds=given.seconds,
        connections=given.connections or (BATCH_CONNECTIONS if batches else Conditions().connections),
        websites=given.websites or (1 if defined else Conditions().websites),
        visitors=given.visitors,
        paths=given.paths,
        mix="batch" if batches else given.mix or ("busy" if defined else Conditions().mix),
        generators=given.generators,
        rate=given.rate,
        follows=defined,
    )


def measure(running: Service, given: argparse.Namespace) -> dict[str, Any]:
    """The figures of the mode that was asked for."""
    if given.mode == "replay":
        return replays(running, given.seconds)
    if given.mode == "freshness":
        return freshness(running, given.samples, conditions_of(given))
    if given.mode == "heatmap":
        return heatmaps(running, given.events, given.days)
    if given.mode == "reads":
        return reads(running, given.events, given.days, recount=given.recount, asked=given.asked)
    conditions = conditions_of(given)
    defined, profiler = {"goals": given.goals, "funnels": given.funnels}, Profiler(given.profile, native=given.native)
    setup = {**asdict(conditions), "web": given.web, "workers": given.workers, "settings": given.set}
    others = {
        "variant": lambda: variant(running, conditions, profiler),
        "rate": lambda: highest_rate(running, conditions),
        "websites": lambda: websites(running, conditions),
        "memory": lambda: memory(running, conditions, given.sessions, given.soak),
        "definitions": lambda: definitions(running, conditions, defined, profiler),
    }
    if given.mode in others:
        return {"mode": given.mode, "conditions": setup, **others[given.mode](), "profiles": profiler.stacks()}
    before = bare(conditions)
    run = ingest(running, conditions, profiler)
    compared_with = {"bare": [before, bare(conditions)]}
    return {"mode": given.mode, "conditions": setup, **figures(run), **compared_with, "profiles": profiler.stacks()}


if __name__ == "__main__":
    sys.exit(main())
