"""What the machine makes of a bare aiohttp application: `python -m bench.bare` is one, that reads JSON and answers it.

Machines differ, and one differs from hour to hour, by more than most changes do. What a hit costs, in requests that
such an application would have answered meanwhile, differs less: figures of two days are compared by it.
"""

import asyncio
import subprocess
import sys
from dataclasses import replace
from itertools import count
from typing import Any

import orjson
import uvloop
from aiohttp import web

from bench.ingest import Conditions, orders_of
from bench.load import ROOT, LoadFailed, load
from bench.traffic import Traffic
from bench.usage import read_cpu, used

LASTS_S = 4.0
ROLE = "bare"
_ids = count(1)


def bare(under: Conditions) -> dict[str, Any]:
    """Single hits on a bare application for four seconds: requests a second and CPU µs of each. Raises LoadFailed."""
    process = subprocess.Popen([sys.executable, "-m", "bench.bare"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise LoadFailed("the bare application did not start")
        like = replace(under, seconds=LASTS_S, rate=0.0, mix="single")
        traffic = Traffic(f"127.0.0.1:{port}", ("of-no-website",), under.visitors, under.paths)
        with load(orders_of(like, int(port), traffic)) as sending:
            before = read_cpu([(ROLE, process.pid)])
            sending.go()
            sent = sending.result()
            cpu_s = used(before, read_cpu([(ROLE, process.pid)])).by_role[ROLE]
    finally:
        process.terminate()
        process.wait()
    answered = sent.outcomes["ok"]
    if not answered or answered != sent.outcomes.total():
        raise LoadFailed(f"the bare application answered {dict(sent.outcomes)}")
    return {"per_s": round(answered / (sent.ended_at - sent.began_at)), "cpu_us": round(cpu_s / answered * 1e6, 1)}


async def _track(request: web.Request) -> web.Response:
    orjson.loads(await request.read())
    return web.Response(body=orjson.dumps({"ok": True, "event_id": next(_ids)}), content_type="application/json")


async def _serve() -> None:
    application = web.Application()
    application.router.add_post("/analytics/track", _track)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
