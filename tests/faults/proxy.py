"""A small TCP proxy in front of a server, and what networks do: slow, silent, cut, gone for good."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.faults.wire import Cuts, Verdict, Watch

PIECE = 64 * 1024


class Link:
    """The way to one server of this machine; it runs in a thread of its own, so that no test holds it up."""

    def __init__(self, name: str, target: Callable[[], int]) -> None:
        self.name, self.target = name, target
        self.delay_s = 0.0
        self.cuts: Cuts | None = None
        self.is_cut = False
        self.connections: set[_Connection] = set()
        self.stranded: set[_Connection] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._loud = asyncio.Event()
        self._loud.set()
        self._closed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"link to {name}", daemon=True)
        self._thread.start()

    # What can happen to it; each may be called from any thread.

    def slow(self, delay_s: float) -> None:
        """Every piece takes so much longer, in either direction."""
        self.delay_s = delay_s

    def silence(self) -> None:
        """Nothing passes in either direction, and no connection ends; new ones are taken, and hear nothing."""
        self._do(self._loud.clear)

    def cut(self) -> None:
        """Every connection is reset, and so is each new one."""
        self.is_cut = True
        self._do(self._reset)

    def reset(self) -> None:
        """Every connection is reset; new ones pass."""
        self._do(self._reset)

    def strand(self) -> None:
        """The connections of now hear nothing any more, ever, and are not told; new ones pass."""
        self._do(self._strand)

    def heal(self) -> None:
        """All is well again; what was held back arrives."""
        self.delay_s, self.is_cut, self.cuts = 0.0, False, None
        self._do(self._loud.set)

    def close(self) -> None:
        """Close it."""
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join(10)

    # Inside.

    def _do(self, what: Callable[[], object]) -> None:
        done = threading.Event()

        def act() -> None:
            what()
            done.set()

        self._loop.call_soon_threadsafe(act)
        assert done.wait(10), "the proxy hangs"

    def _reset(self) -> None:
        for connection in [*self.connections, *self.stranded]:
            connection.end()

    def _strand(self) -> None:
        for connection in self.connections:
            connection.alive = False
        self.stranded |= self.connections
        self.connections.clear()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve_on())

    async def _serve_on(self) -> None:
        server = await asyncio.start_server(self._serve, sock=self._socket)
        await self._closed.wait()
        self._reset()
        server.close()
        while self.connections or self.stranded:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            _abort(writer)
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target())
        except (OSError, ValueError):  # it is not there
            _abort(writer)
            return
        connection = _Connection(self, (reader, writer), there, self.cuts.watch() if self.cuts else Watch())
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            self.stranded.discard(connection)

    async def hold(self, connection: "_Connection") -> None:
        """Returns when a piece may pass."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self._loud.wait()
        if not connection.alive:
            await asyncio.Event().wait()


class _Connection:
    """A client's connection, and ours to the server."""

    def __init__(
        self,
        link: Link,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        watch: Watch,
    ) -> None:
        self.link, self.client, self.server, self.watch = link, client, server, watch
        self.alive = True
        self.pumps: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Pass on what comes, until one side ends."""
        (here, to_client), (there, to_server) = self.client, self.server
        self.pumps = [
            asyncio.ensure_future(self._pump(here, to_server, self.watch.sent)),
            asyncio.ensure_future(self._pump(there, to_client, self.watch.answered)),
        ]
        try:
            await asyncio.wait(self.pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.end()

    def end(self) -> None:
        """Reset both sides."""
        for pump in self.pumps:
            pump.cancel()
        for _, writer in (self.client, self.server):
            _abort(writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, judge: Callable[[bytes], Verdict]
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                await self.link.hold(self)
                verdict = judge(piece)
                if verdict is Verdict.CUT:
                    return
                if verdict is Verdict.HANG:
                    await asyncio.Event().wait()
                writer.write(piece[: len(piece) // 2] if verdict is Verdict.HALF else piece)
                await writer.drain()
                if verdict is Verdict.HALF:
                    return


def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
