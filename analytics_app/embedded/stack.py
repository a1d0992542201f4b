"""Kafka and Postgres alone, for tests and tools: `with services(folder) as endpoints: …`."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from analytics_app.embedded import endpoints, jars, state
from analytics_app.embedded.errors import StartFailed
from analytics_app.embedded.kafka import Kafka
from analytics_app.embedded.layout import Layout
from analytics_app.embedded.postgres import Postgres
from analytics_app.embedded.processes import Program, died_of, spawn, stop
from analytics_app.settings import Settings

READY_WITHIN_S = 90.0


class Server(Protocol):
    """What Kafka and Postgres have in common; every method blocks."""

    role: str

    def prepare(self) -> None:
        """Bring its folder to where it can be started."""

    def program(self) -> Program:
        """How to run it, after `prepare`."""

    def ready(self) -> bool:
        """Whether it can be used now."""

    def before_restart(self) -> None:
        """Clear what a killed one left."""

    def why_not(self) -> str:
        """The last that it said."""


@contextmanager
def services(data_dir: Path, *, kafka: bool = True, postgres: bool = True) -> Iterator[endpoints.Endpoints]:
    """Run Kafka and Postgres on `data_dir` until the end of the block; yields where they are.

    They die with this process, whatever ends it. Raises StartFailed or AlreadyRunning.
    """
    layout = Layout(data_dir)
    with state.lock(layout), ExitStack() as running:
        state.end_leftovers(layout)
        if kafka and (gone := jars.missing()):
            jars.fetch(gone, lambda _bytes: None)
        servers: list[Server] = [*([Postgres(layout)] if postgres else []), *([Kafka(layout)] if kafka else [])]
        started = []
        for server in servers:
            server.prepare()
            program = server.program()
            process = spawn(program)
            running.callback(stop, process, program)
            started.append((server, process))
        state.write(layout, filter(None, (state.Running.of(server.role, process.pid) for server, process in started)))
        running.callback(layout.run_file.unlink, missing_ok=True)
        until = time.monotonic() + READY_WITHIN_S
        for server, process in started:
            while not server.ready():
                if process.poll() is not None or time.monotonic() > until:
                    ending = (
                        "did not come up in time" if process.poll() is None else f"ended {died_of(process.returncode)}"
                    )
                    raise StartFailed(f"{server.role} {ending}:\n{server.why_not()}")
                time.sleep(0.05)
        yield endpoints.Endpoints(Settings(data_dir=data_dir, kafka_bootstrap_servers="", database_url=""))
