"""The service as its user starts it: `analytics up` on a folder of its own, its API and its other commands."""

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

from prometheus_client.parser import text_string_to_metric_families

from analytics_app.embedded import endpoints
from analytics_app.embedded.layout import Layout
from analytics_app.embedded.ports import kept_or_new
from analytics_app.settings import Settings

READY_WITHIN_S = 300.0
STOPPED_WITHIN_S = 40.0
LINES_SHOWN = 25
ROOT = Path(__file__).parent.parent
RUNNING = "Running at"
WORKERS_PORT = re.compile(r"worker-\d+_port$")

# Whatever is set where the bench is started, it must not reach an installation that is in use.
FOREIGN = ("ANALYTICS_DATABASE_URL", "DATABASE_URL", "ANALYTICS_KAFKA_BOOTSTRAP_SERVERS", "ANALYTICS_DATA_DIR", "PORT")


class ServiceFailed(RuntimeError):
    """Raised when the service does not start, or a command or call of it fails."""


class Service:
    """A running service."""

    def __init__(self, data_dir: Path, port: int, token: str, environment: Mapping[str, str]) -> None:
        self.data_dir, self.port, self.token = data_dir, port, token
        self.environment = environment
        self.address = f"http://127.0.0.1:{port}"

    @property
    def database_url(self) -> str:
        """Where its Postgres is."""
        return str(endpoints.resolve(Settings(data_dir=self.data_dir, database_url="")).database_url)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `analytics …` on it."""
        return subprocess.run(  # noqa: S603 - our own command
            [*_analytics(), *words, "--data-dir", str(self.data_dir)],
            env={**self.environment}, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def processes(self) -> list[tuple[str, int]]:
        """Role and id of each process. Raises ServiceFailed."""
        answer = self.command("ps", "--json")
        if answer.returncode:
            raise ServiceFailed(f"analytics ps: {answer.stderr or answer.stdout}")
        return [(one["role"], one["pid"]) for one in json.loads(answer.stdout)]

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that the API answers. Raises urllib's errors."""
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.address}/analytics{path}",
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
            return json.loads(answer.read())

    def batches(self) -> int:
        """In how many transactions the workers have stored hits since they were started, as their figures say."""
        ports = [port for name, port in endpoints.read(Layout(self.data_dir)).items() if WORKERS_PORT.match(name)]
        return sum(_batches(f"http://127.0.0.1:{port}/metrics") for port in ports)

    def new_websites(self, count: int) -> list[dict[str, Any]]:
        """Make websites."""
        return [
            self.call("POST", "/websites", {"name": f"Bench {number}", "host": f"site{number}.example"})["data"]
            for number in range(count)
        ]


@contextmanager
def service(*, data_dir: Path | None, web: int, workers: int, settings: Mapping[str, str]) -> Iterator[Service]:
    """Start the service, on a folder that is deleted afterwards where none is given; stopped at the end of the block.

    Raises ServiceFailed, with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="analytics-bench-") as folder:
        # Postgres runs as a user of its own where we are root: it must be let through.
        Path(folder).chmod(0o711)
        root = data_dir or Path(folder) / "data"
        token, port = secrets.token_urlsafe(24), kept_or_new(None)
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        environment |= {
            "ANALYTICS_BOOTSTRAP_TOKEN": token,
            "ANALYTICS_TRACKING_RATE_LIMIT": "off",
            "ANALYTICS_BOTS_BEHAVIOUR": "off",  # one address sends for all
            "ANALYTICS_LOG_LEVEL": "warning",
            **settings,
        }
        command = [*_analytics(), "up", "--data-dir", str(root), "--port", str(port), "--no-demo"]
        command += ["--web", str(web), "--workers", str(workers)]
        said = Path(folder) / "up.log"
        with said.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own command
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT
            )
        try:
            _wait_until_it_runs(process, said)
            yield Service(root, port, token, environment)
        finally:
            _stop(process)


def _batches(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - our own address
            families = list(text_string_to_metric_families(answer.read().decode()))
    except URLError:
        return 0  # of a worker of an earlier start
    return sum(
        int(sample.value)
        for family in families
        for sample in family.samples
        if sample.name == "analytics_batch_hits_count" and sample.labels["topic"].endswith("-hits")
    )


def _wait_until_it_runs(process: "subprocess.Popen[bytes]", said: Path) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while RUNNING not in (text := said.read_text(encoding="utf-8", errors="replace")):
        if process.poll() is not None or time.monotonic() > until:
            last = "\n".join(text.splitlines()[-LINES_SHOWN:])
            raise ServiceFailed(f"the service did not start:\n{last}")
        time.sleep(0.2)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _analytics() -> list[str]:
    return [sys.executable, "-m", "analytics_app"]
