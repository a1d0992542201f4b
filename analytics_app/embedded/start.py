"""`analytics up`: what is started, in which order, and what is shown meanwhile."""

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from analytics_app.embedded import endpoints, jars, ports, state
from analytics_app.embedded.console import Console
from analytics_app.embedded.errors import StartFailed
from analytics_app.embedded.kafka import Kafka
from analytics_app.embedded.layout import Layout
from analytics_app.embedded.postgres import Postgres
from analytics_app.embedded.processes import Program, spawn
from analytics_app.embedded.steps import Steps
from analytics_app.embedded.supervisor import Part, Supervisor
from analytics_app.settings import Settings

log = structlog.get_logger("supervisor")

SERVERS_READY_WITHIN_S = 120.0  # Kafka may have much to recover after a power cut
SERVICE_READY_WITHIN_S = 90.0
PREPARED_WITHIN_S = 600.0  # migrations of large tables


@dataclass(frozen=True)
class Prepared:
    """What there is to start with. `token` only where it was made just now: it is shown once."""

    token: str | None
    website_id: int
    pixel_key: str


class Start:
    """One start of the service on one data folder."""

    def __init__(self, settings: Settings, *, web: int, workers: int, console: Console, steps: Steps) -> None:
        self.settings = settings
        self.layout = Layout(settings.data_dir)
        self.web, self.workers = web, workers
        self.console, self.steps = console, steps
        self.supervisor = Supervisor(self.layout, console)
        self._ended = False

    async def run(self) -> Prepared:
        """Start everything; returns when the service answers. Raises StartFailed."""
        for left in await asyncio.to_thread(state.end_leftovers, self.layout):
            log.warning("ended what an earlier start had left", role=left.role, pid=left.pid)
        self._check_port()
        endpoints.note(self.layout, host=self.settings.host, port=self.settings.port)
        self.supervisor.note()
        await self._start_servers()
        with self.steps.step("Database and topics"):
            prepared = await self._prepare()
        with self.steps.step(
            "Web and worker" if self.workers == self.web == 1 else f"{self.web} web, {self.workers} worker"
        ):
            await self._start_service()
        return prepared

    async def end(self) -> None:
        """Stop everything; safe at any moment of the start."""
        self._ended = True
        await self.supervisor.stop()

    @property
    def address(self) -> str:
        """Where the service is reached from this machine."""
        host = self.settings.host
        here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - our own addresses
        return f"http://{here}:{self.settings.port}"

    def _check_port(self) -> None:
        host, port = self.settings.host, self.settings.port
        try:
            if ports.is_free(host, port):
                return
        except PermissionError as error:
            raise StartFailed(f"Port {port} is not open to this user: choose one above 1023 with --port") from error
        except OSError as error:
            raise StartFailed(f"{host} is not an address of this machine ({error.strerror}): see --host") from error
        raise StartFailed(f"Port {port} is taken by another program: choose another one, for example --port {port + 1}")

    async def _start_servers(self) -> None:
        servers: list[Kafka | Postgres] = []
        if not self.settings.kafka_bootstrap_servers:
            if missing := await asyncio.to_thread(jars.missing):
                with self.steps.step(
                    f"Fetching Kafka {jars.version()}, once", sum(jar.bytes for jar in missing)
                ) as advance:
                    await asyncio.to_thread(jars.fetch, missing, self._interruptible(advance))
            servers.append(Kafka(self.layout))
        if not self.settings.database_url.get_secret_value():
            servers.append(Postgres(self.layout))
        if servers:
            with self.steps.step(" and ".join(type(server).__name__ for server in servers)):
                await asyncio.gather(*(self._start_server(server) for server in servers))

    async def _start_server(self, server: Kafka | Postgres) -> None:
        await asyncio.to_thread(server.prepare)
        if self._ended:
            return
        title = type(server).__name__
        part = Part(server.program, lambda: "" if server.ready() else "no answer", server.before_restart, title)
        self.supervisor.keep(part)
        await self.supervisor.until_ready(part, SERVERS_READY_WITHIN_S)

    async def _prepare(self) -> Prepared:
        program = Program("prepare", [sys.executable, "-m", "analytics_app.prepare"], environment=self._environment({}))
        process = spawn(program)
        try:
            output, _ = await asyncio.wait_for(asyncio.to_thread(process.communicate), PREPARED_WITHIN_S)
        finally:
            if process.poll() is None:
                process.kill()
        lines = output.decode(errors="replace").splitlines()
        try:
            answer = json.loads(lines[-1])
        except (IndexError, ValueError):
            answer = {}
        if error := answer.get("error"):
            raise StartFailed(str(error))
        if process.returncode != 0 or not answer:
            raise StartFailed("\n  ".join(["The database and topics could not be prepared:", *lines[-12:]]))
        return Prepared(**answer)

    async def _start_service(self) -> None:
        names = [("web", f"web-{number}") for number in range(1, self.web + 1)]
        names += [("worker", f"worker-{number}") for number in range(1, self.workers + 1)]
        parts = [self._part(role, name) for role, name in names]
        for part in parts:
            self.supervisor.keep(part)
        for part in parts:
            await self.supervisor.until_ready(part, SERVICE_READY_WITHIN_S)

    def _part(self, role: str, name: str) -> Part:
        environment = {"ANALYTICS_ROLE": role, "ANALYTICS_WORKER_NAME": name}
        address = self.address
        if role == "worker":
            port = endpoints.port_for(self.layout, f"{name}_port")
            environment |= {"ANALYTICS_HEALTH_HOST": "127.0.0.1", "ANALYTICS_HEALTH_PORT": str(port)}
            address = f"http://127.0.0.1:{port}"
        program = Program(
            role=role,
            name=name,
            command=[sys.executable, "-m", "analytics_app.process"],
            environment=self._environment(environment),
            stop_within_s=8.0,
        )
        return Part(lambda: program, lambda: _lacks(f"{address}/health/ready"))

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {
            "ANALYTICS_DATA_DIR": str(self.settings.data_dir),
            "ANALYTICS_HOST": self.settings.host,
            "ANALYTICS_PORT": str(self.settings.port),
            "PYTHONUNBUFFERED": "1",
            **({"FORCE_COLOR": "1"} if self.console.isatty() else {}),
            **more,
        }

    def _interruptible(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        def proceed(amount: int) -> None:
            if self._ended:
                raise InterruptedError
            advance(amount)

        return proceed


def _lacks(url: str) -> str:
    """What the process at `url` says that it lacks; nothing where it is ready."""
    try:
        urllib.request.urlopen(url, timeout=3).close()  # noqa: S310 - our own addresses
    except urllib.error.HTTPError as error:
        with error:
            answer = error.read(10_000)
        try:
            return str(json.loads(answer)["error"])
        except (ValueError, KeyError, TypeError):
            return f"it answers {error.code}"
    except (OSError, ValueError):
        return "no answer"
    return ""
