"""Keeps processes running: starts again what dies, with growing pauses, and stops everything in order."""

import asyncio
import os
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from io import TextIOBase
from typing import cast

import structlog

from analytics_app.embedded import state
from analytics_app.embedded.errors import StartFailed
from analytics_app.embedded.layout import Layout
from analytics_app.embedded.processes import Program, bound, died_of, last_lines, spawn, stop

log = structlog.get_logger("supervisor")

LOOK_EVERY_S = 0.1
ASK_EVERY_S = 0.2  # what is asked may cost it a query
LOGS_EVERY_S = 30.0
GIVE_UP_AFTER = 4  # deaths before a part was ready even once


@dataclass
class Pauses:
    """How long to wait before a restart: 0.2 s, doubled each time to 30 s, forgotten once a process lived a minute."""

    first_s: float = 0.2
    most_s: float = 30.0
    forgotten_after_s: float = 60.0
    _next_s: float = 0.0

    def after(self, lived_s: float) -> float:
        """The pause after a process that lived so long."""
        if lived_s >= self.forgotten_after_s or not self._next_s:
            self._next_s = self.first_s
        pause, self._next_s = self._next_s, min(self._next_s * 2, self.most_s)
        return pause


@dataclass
class Part:
    """One process to keep: how to run it, and what to clear before it is started again.

    `lacks` says what it still lacks to be of use, in words; nothing once it is ready. It may block.
    """

    program: Callable[[], Program]
    lacks: Callable[[], str]
    before_restart: Callable[[], None] = lambda: None
    title: str = ""
    process: "subprocess.Popen[bytes] | None" = None
    running: Program | None = None
    deaths: int = 0
    said: deque[str] = field(default_factory=lambda: deque(maxlen=30))

    def last_words(self) -> list[str]:
        """The last lines it wrote, wherever it writes them."""
        if self.running and self.running.log_file:
            return last_lines(self.running.log_file)
        return list(self.said)


class Supervisor:
    """The processes of one data folder. Their lines (those without a log file of their own) go to `console`."""

    def __init__(self, layout: Layout, console: TextIOBase) -> None:
        self.layout = layout
        self.console = console
        self.parts: list[Part] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._myself = state.Running.of("supervisor", os.getpid())
        self._stopping = False

    def keep(self, part: Part) -> None:
        """Start `part` and start it again whenever it ends, until `stop`."""
        self.parts.append(part)
        self._spawn(part)
        self._keepers.append(asyncio.create_task(self._keep(part), name=f"keep {part.title}"))
        if len(self._keepers) == 1:
            self._keepers.append(asyncio.create_task(self._bound_logs(), name="bound logs"))

    async def until_ready(self, part: Part, within_s: float) -> None:
        """Return when `part` is ready. Raises StartFailed where it keeps dying, or takes longer."""
        until = time.monotonic() + within_s
        while lacking := await asyncio.to_thread(part.lacks):
            if part.deaths >= GIVE_UP_AFTER or time.monotonic() > until:
                late = f"is not ready after {within_s:.0f} s ({lacking})"
                how = "does not stay up" if part.deaths >= GIVE_UP_AFTER else late
                raise StartFailed("\n  ".join([f"{part.title} {how}. Its last lines:", *part.last_words()]))
            await asyncio.sleep(ASK_EVERY_S)

    async def stop(self) -> None:
        """Stop all: web, worker, Kafka, Postgres, each role when the one before is gone."""
        self._stopping = True
        for role in state.ROLES:
            await asyncio.gather(
                *(self._stop(part) for part in self.parts if part.running and part.running.role == role)
            )
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self.layout.run_file.unlink(missing_ok=True)

    async def _stop(self, part: Part) -> None:
        if part.process is None or part.running is None:
            return
        if not await asyncio.to_thread(stop, part.process, part.running):
            log.warning("did not stop in time and was killed", part=part.title, within_s=part.running.stop_within_s)

    def note(self) -> None:
        """Keep the list of running processes current."""
        children = (
            state.Running.of(part.running.role, part.process.pid)
            for part in self.parts
            if part.process is not None and part.running and part.process.poll() is None
        )
        state.write(self.layout, filter(None, [self._myself, *children]))

    def _spawn(self, part: Part) -> None:
        part.running = part.program()
        part.title = part.title or part.running.title
        part.process = spawn(part.running)
        self.note()

    async def _keep(self, part: Part) -> None:
        pauses = Pauses()
        while True:
            born = time.monotonic()
            reading = asyncio.create_task(self._read(part))
            process = cast("subprocess.Popen[bytes]", part.process)
            while process.poll() is None:  # noqa: ASYNC110 - a process sets no event
                await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.wait([reading], timeout=1)
            reading.cancel()
            if self._stopping:
                return
            part.deaths += 1
            pause = pauses.after(time.monotonic() - born)
            log.error(
                "a process ended",
                part=part.title,
                how=died_of(process.returncode),
                pid=process.pid,
                again_in_s=round(pause, 1),
                **self._cause(part, process.returncode),
            )
            self.note()
            await self._start_again(part, pause, pauses)
            if self._stopping:
                await self._stop(part)
                return
            log.warning("started again", part=part.title, pid=cast("subprocess.Popen[bytes]", part.process).pid)

    @staticmethod
    def _cause(part: Part, code: int) -> dict[str, list[str]]:
        # Only what is not on the console already, and has to do with its end.
        if code < 0 or not (part.running and part.running.log_file):
            return {}
        return {"last_words": [line[:300] for line in part.last_words()[-3:]]}

    async def _start_again(self, part: Part, pause: float, pauses: Pauses) -> None:
        while not self._stopping:
            await asyncio.sleep(pause)
            try:
                await asyncio.to_thread(part.before_restart)
                if not self._stopping:
                    self._spawn(part)
            except Exception:  # anything that keeps it from starting is waited out
                pause = pauses.after(0)
                log.exception("could not be started", part=part.title, again_in_s=round(pause, 1))
            else:
                return

    async def _read(self, part: Part) -> None:
        stream = part.process.stdout if part.process else None
        if stream is None:
            return
        lines = _Lines(part, self.console)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: lines, stream)
        try:
            await lines.ended
        finally:
            transport.close()

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(LOGS_EVERY_S)
            for part in self.parts:
                if part.running and part.running.log_file:
                    await asyncio.to_thread(bound, part.running.log_file)


class _Lines(asyncio.Protocol):
    """Passes a process' lines on, whole ones only, and remembers the last."""

    MOST_BYTES = 64 * 1024

    def __init__(self, part: Part, console: TextIOBase) -> None:
        self._part, self._console = part, console
        self._rest = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self.MOST_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._pass(line)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._pass(self._rest)
        if not self.ended.done():
            self.ended.set_result(None)

    def _pass(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        self._part.said.append(text)
        self._console.write(text + "\n")
