"""Processes that are started while a server is away: they wait, say for whom, and start once it is there."""

import asyncio
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.rig import Rig, free_port
from tests.faults.story import under_load

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 10.0


class Late:
    """One more process of the service."""

    def __init__(self, rig: Rig, role: str, name: str) -> None:
        self.log: Path = rig.folder / f"{name}.log"
        self.port = free_port()
        settings = {("ANALYTICS_HEALTH_PORT" if role == "worker" else "ANALYTICS_PORT"): str(self.port)}
        self.before = self.log.stat().st_size if self.log.exists() else 0
        self.process: subprocess.Popen[bytes] = rig.joined(role, name, **settings)

    def said(self) -> str:
        """Its lines."""
        return self.log.read_text(errors="replace")[self.before :]

    async def says(self, what: str, within_s: float = 90.0) -> None:
        """Returns once it has said that."""
        until = time.monotonic() + within_s
        while what not in self.said():
            assert self.process.poll() is None, self.said()[-3000:]
            assert time.monotonic() < until, self.said()[-3000:]
            await asyncio.sleep(0.2)

    async def is_ready(self) -> None:
        """Returns once it is of use."""
        until = time.monotonic() + READY_WITHIN_S
        while not await asyncio.to_thread(self._answers):
            assert self.process.poll() is None, self.said()[-3000:]
            assert time.monotonic() < until, self.said()[-3000:]
            await asyncio.sleep(0.3)

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=3):
            return True
        return False


@pytest.mark.long
@pytest.mark.parametrize("server", ["postgres", "kafka"])
async def test_a_process_that_is_started_while_a_server_is_away_waits_for_it(rig: Rig, server: str) -> None:
    started: list[Late] = []
    try:
        async with under_load(rig, f"started while {server} is away", 61):
            rig.links[server].cut()
            for role, name in (("web", "late-web"), ("worker", "late-worker"), ("web", "given-up")):
                started.append(await asyncio.to_thread(Late, rig, role, name))  # the visitors go on meanwhile
            where = f"server='{server.title()} at 127.0.0.1:{rig.links[server].port}'"
            for one in started:
                await one.says(where)
            started[-1].process.terminate()
            assert await asyncio.to_thread(started[-1].process.wait, STOPPED_WITHIN_S) == 0
            rig.heal()
            for one in started[:-1]:
                await one.is_ready()
            for one in started[:-1]:
                one.process.terminate()
                await asyncio.to_thread(one.process.wait, 20)
    finally:
        for one in started:
            one.process.kill()
