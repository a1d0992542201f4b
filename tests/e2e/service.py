"""`analytics up` on a folder of its own, as a user starts it, and what the tests ask of it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
from psycopg.rows import dict_row

from analytics_app.embedded import ports
from analytics_app.sessions.kinds import EventKind

READY_WITHIN_S = 120
STOPPED_WITHIN_S = 20
ROLES = ["supervisor", "web", "worker", "kafka", "postgres"]

EVENTS = """
SELECT e.id, e.kind, path.text AS path, name.text AS name, title.text AS title, e.time_on_page_s AS seconds,
       e.scroll_depth AS scroll, e.properties, e.value, e.currency, e.interactive, e.session_id, e.visitor, e.at
FROM events e LEFT JOIN terms path ON path.id = e.path LEFT JOIN terms name ON name.id = e.name
     LEFT JOIN terms title ON title.id = e.title
WHERE e.website_id = %s ORDER BY e.at, e.id
"""
DIMENSIONS = [
    "entry_path",
    "exit_path",
    "host",
    "referrer",
    "source",
    "channel",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "country",
    "device_type",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "language",
    "screen",
]
SESSIONS = f"""
SELECT s.id, s.visitor, s.duration_s, s.pageviews, s.events, s.engaged_s, s.is_bounce, s.started_at, s.last_at,
       {", ".join(f"(SELECT text FROM terms WHERE id = s.{name}) AS {name}" for name in DIMENSIONS)}
FROM sessions s WHERE s.website_id = %s ORDER BY s.started_at, s.id
"""


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without any setting of the service but `more`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANALYTICS_", "MAKE"))}
    for name in ("DATABASE_URL", "PORT"):
        kept.pop(name, None)
    return kept | more


class Service:
    """The whole service on `folder`; `with` waits until it answers, and kills what is left of it."""

    def __init__(self, folder: Path, *options: str, port: int | None = None, **settings: str) -> None:
        self.folder, self.log = folder, folder.with_suffix(".log")
        self.port = port or ports.kept_or_new(None)
        self.address = f"http://127.0.0.1:{self.port}"
        self.environment = clean_environment(**settings)
        self.began = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "analytics_app", "up", "--data-dir", folder, "--port", str(self.port), *options],
                env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip

    def __enter__(self) -> Self:
        wait_until(lambda: "Ctrl-C" in self.text() or self.process.poll() is not None, READY_WITHIN_S)
        self.ready_after_s = time.monotonic() - self.began
        assert self.process.poll() is None, self.text()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()  # a guard takes what it had started along
        self.process.wait()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; returns its exit code. Fails where one of its processes outlives it."""
        running = self.processes()
        self.process.send_signal(number)
        code = self.process.wait(STOPPED_WITHIN_S)
        assert gone(running, within_s=1), "a process outlives the service"
        assert not self.said("did not stop in time"), self.text()
        return code

    # What it says about itself.

    def text(self) -> str:
        return self.log.read_text()

    def said(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.text())

    @property
    def key(self) -> str:
        """The pixel key of the first website, as printed."""
        found = self.said(r'data-key="([^"]+)"')
        assert found, self.text()
        return found.group(1)

    @property
    def website_id(self) -> int:
        """The first website's id, as printed."""
        found = self.said(r"/analytics/websites/(\d+)/stats")
        assert found, self.text()
        return int(found.group(1))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command of the command line, on the same folder."""
        return subprocess.run(
            [sys.executable, "-m", "analytics_app", "--data-dir", self.folder, *words],
            env=self.environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def processes(self) -> list[tuple[str, int]]:
        """Role and process id of everything that runs, as `analytics ps --json` says."""
        return [(one["role"], one["pid"]) for one in json.loads(self.command("ps", "--json").stdout)]

    def ready(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.address}/health/ready", timeout=3):
            return True
        return False

    def get(self, path: str, token: str | None = None) -> Any:
        """The JSON at a path."""
        request = urllib.request.Request(
            self.address + path, headers={"Authorization": f"Bearer {token}"} if token else {}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def another_web(self, **settings: str) -> "Web":
        """A further web process on the same Kafka and Postgres, with settings of its own."""
        return Web(self, settings)

    # What it has stored.

    def noted(self, name: str) -> str:
        """An address of an embedded server, as the data folder knows it."""
        return str(json.loads((self.folder / "endpoints.json").read_text())[name])

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a query."""
        with psycopg.connect(self.noted("database_url"), autocommit=True, row_factory=dict_row) as db:  # type: ignore[arg-type]
            return db.execute(query, values).fetchall()  # type: ignore[call-overload, no-any-return]

    def events(self, website_id: int) -> list[dict[str, Any]]:
        """The website's events, numbers of terms replaced by their texts, kinds by their names."""
        return [row | {"kind": EventKind(row["kind"]).name.lower()} for row in self.sql(EVENTS, website_id)]

    def sessions(self, website_id: int) -> list[dict[str, Any]]:
        """The website's sessions, numbers of terms replaced by their texts."""
        return self.sql(SESSIONS, website_id)


class Web:
    """One web process beside those of a service."""

    def __init__(self, service: Service, settings: dict[str, str]) -> None:
        self.port = ports.kept_or_new(None)
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = service.folder.with_suffix(f".{self.port}.log")
        environment = service.environment | {
            "ANALYTICS_DATA_DIR": str(service.folder),
            "ANALYTICS_HOST": "127.0.0.1",
            "ANALYTICS_PORT": str(self.port),
            "ANALYTICS_ROLE": "web",
            **settings,
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "analytics_app.process"], env=environment, stdout=log, stderr=log
            )

    def wait(self) -> Self:
        """Returns when it answers."""
        wait_until(self._ready, 60)
        return self

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with suppress(OSError), urllib.request.urlopen(f"{self.address}/health/ready", timeout=3):
            return True
        return False

    def stop(self) -> int:
        """Stop it; returns its exit code."""
        self.process.terminate()
        return self.process.wait(STOPPED_WITHIN_S)


def wait_until(condition: Any, within_s: float) -> None:
    """Returns when `condition()` is true."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.1)


def gone(processes: list[tuple[str, int]], within_s: float = STOPPED_WITHIN_S) -> bool:
    """Whether all of these end within that time."""
    left = [psutil.Process(pid) for _, pid in processes if psutil.pid_exists(pid)]
    return psutil.wait_procs(left, within_s)[1] == []
