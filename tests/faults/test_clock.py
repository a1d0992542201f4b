"""A clock is set: of a process that stores, of one that answers."""

import asyncio
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.conftest import needs
from tests.faults.rig import Rig, free_port
from tests.faults.story import under_load

LIBRARY = next((str(found) for found in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), "")
DAYS_2 = 2 * 86_400
READ_EVERY_S = 1.5


class Clocked:
    """One more process of the service, whose clock can be set. What measures durations goes on as ever."""

    def __init__(self, rig: Rig, role: str) -> None:
        self.rig, self.role = rig, role
        self.file = rig.folder / f"clock-of-{role}"
        self.set(0)
        port = "ANALYTICS_HEALTH_PORT" if role == "worker" else "ANALYTICS_PORT"
        self.port = free_port()
        self.settings = {
            port: str(self.port),
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it."""
        return self.rig.joined(self.role, f"clocked-{self.role}", **self.settings)

    def set(self, offset_s: int) -> None:
        """Set its clock to the right time and `offset_s` seconds."""
        self.rig.note(f"the clock of a {self.role} process is set to {offset_s:+d} s")
        beside = self.file.with_suffix(".new")
        beside.write_text(f"{offset_s:+d}\n")
        beside.replace(self.file)

    async def ready(self, within_s: float = 120.0) -> None:
        """Returns once it is of use; where it ended, it is started again, as a supervisor would."""
        until = time.monotonic() + within_s
        while not await asyncio.to_thread(self._is_ready):
            assert time.monotonic() < until, Path(self.rig.folder / f"clocked-{self.role}.log").read_text()[-3000:]
            if self.process.poll() is not None:
                self.process = self.start()
            await asyncio.sleep(0.5)

    def _is_ready(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=3):
            return True
        return False

    async def keep(self, for_s: float) -> None:
        """Let time pass; start it again where it ends."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                self.rig.note(f"the {self.role} process ended with {self.process.returncode} and is started again")
                self.process = self.start()
            await asyncio.sleep(0.5)


@pytest.fixture
def clocked(rig: Rig) -> Iterator[list[Clocked]]:
    needs("a clock to set", lacking="" if LIBRARY else "libfaketime is not installed (Debian: faketime)")
    made: list[Clocked] = []
    yield made
    for one in made:
        one.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            one.process.wait(20)
        one.process.kill()


@pytest.mark.long
@pytest.mark.parametrize("offset_s", [DAYS_2, -DAYS_2])
async def test_a_worker_whose_clock_is_set_and_set_right_again_counts_as_ever(
    rig: Rig, clocked: list[Clocked], offset_s: int
) -> None:
    clocked.append(worker := Clocked(rig, "worker"))
    await worker.ready()
    salts = await rig.query("SELECT day, salt FROM visitor_salts ORDER BY day")
    claimed = await rig.query("SELECT count(*) FROM client_ids")
    async with under_load(rig, f"a worker's clock {offset_s:+d} s", 51, after_s=10):
        for offset in (offset_s, 0):
            worker.set(offset)
            await worker.keep(20)  # longer than background work waits
            await worker.ready()
    assert {*salts} <= {*await rig.query("SELECT day, salt FROM visitor_salts")}, "salts in use were deleted"
    assert await rig.query("SELECT count(*) FROM client_ids") > claimed, "clients' ids in use were deleted"


@pytest.mark.long
@pytest.mark.parametrize("offset_s", [600, -200])
async def test_a_web_process_whose_clock_is_set_and_set_right_again_loses_nothing(
    rig: Rig, clocked: list[Clocked], offset_s: int
) -> None:
    clocked.append(web := Clocked(rig, "web"))
    await web.ready()
    address = f"http://127.0.0.1:{web.port}"
    async with under_load(rig, f"a web process' clock {offset_s:+d} s", 52, address=address, after_s=8, pages=False):
        web.set(offset_s)
        await web.keep(10)
        web.set(0)
        await web.keep(READ_EVERY_S)
