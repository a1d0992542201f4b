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

from bench.freshness import freshness  # noqa: E402 - after the path is right
from bench.ingest import Conditions, figures, ingest  # noqa: E402
from bench.profile import Profiler  # noqa: E402
from bench.reads import reads  # noqa: E402
from bench.report import show_freshness, show_ingest, show_profile, show_reads  # noqa: E402
from bench.service import Service, ServiceFailed, service  # noqa: E402
from bench.traffic import MIXES  # noqa: E402


def arguments(words: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("mode", nargs="?", default="ingest", choices=("ingest", "freshness", "reads"))
    standard = Conditions()
    parser.add_argument("--seconds", type=float, default=standard.seconds, help="of load; %(default)s")
    parser.add_argument("--connections", type=int, default=standard.connections, help="%(default)s")
    parser.add_argument("--websites", type=int, default=standard.websites, help="%(default)s")
    parser.add_argument("--visitors", type=int, default=standard.visitors, help="%(default)s")
    parser.add_argument("--paths", type=int, default=standard.paths, help="%(default)s")
    parser.add_argument(
        "--mix",
        choices=tuple(MIXES),
        default="single",
        help="single: pageviews; real: each with 4 heartbeats and a leave",
    )
    parser.add_argument("--generators", type=int, default=1, help="processes of the load; %(default)s")
    parser.add_argument("--events", type=int, default=1_000_000, help="that reads are asked about; %(default)s")
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
        with (
            console.status("starting the service") as status,
            service(data_dir=given.data_dir, web=given.web, workers=given.workers, settings=settings) as running,
        ):
            status.update(f"measuring {given.mode}")
            found = measure(running, given)
    except ServiceFailed as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    profiles = found.pop("profiles", {})
    {"freshness": show_freshness, "reads": show_reads}.get(given.mode, show_ingest)(console, found)
    for name, stacks in profiles.items():
        per_hit_us = found["cpu_us_per_hit"][name.partition("-")[0]]
        show_profile(console, name, stacks, per_hit_us, str(ROOT))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if found["faults"] else 0


def measure(running: Service, given: argparse.Namespace) -> dict[str, Any]:
    """The figures of the mode that was asked for."""
    if given.mode == "freshness":
        return freshness(running, given.samples)
    if given.mode == "reads":
        return reads(running, given.events, given.days)
    conditions = Conditions(
        seconds=given.seconds, connections=given.connections, websites=given.websites, visitors=given.visitors,
        paths=given.paths, mix=given.mix, generators=given.generators,
    )  # fmt: skip
    profiler = Profiler(given.profile, native=given.native)
    run = ingest(running, conditions, profiler)
    setup = {**asdict(conditions), "web": given.web, "workers": given.workers, "settings": given.set}
    return {"mode": "ingest", "conditions": setup, **figures(run), "profiles": profiler.stacks()}


if __name__ == "__main__":
    sys.exit(main())
