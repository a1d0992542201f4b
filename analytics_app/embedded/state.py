"""What runs on a data folder: the lock of the one `analytics up`, and the list of its processes."""

import fcntl
import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil

from analytics_app.embedded.errors import AlreadyRunning, StartFailed
from analytics_app.embedded.layout import Layout, write_private
from analytics_app.embedded.processes import end_leftover, ours

# The order processes are stopped in, and that leftovers of a killed start are ended in.
ROLES = ("supervisor", "web", "worker", "kafka", "postgres")


@dataclass(frozen=True)
class Running:
    """One process of the installation; `create_time` in seconds since 1970 tells it from a later one of the same id."""

    role: str
    pid: int
    create_time: float

    @classmethod
    def of(cls, role: str, pid: int) -> "Running | None":
        """The living process `pid` in its role; None where it is gone already."""
        try:
            return cls(role, pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None


@contextmanager
def lock(layout: Layout) -> Iterator[None]:
    """Hold the data folder for one `analytics up`. Raises AlreadyRunning, naming the holder, or StartFailed."""
    try:
        layout.make()
        handle = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartFailed(
            f"The data folder {layout.root} cannot be used: {error.strerror}. Name another with --data-dir"
        ) from error
    with os.fdopen(handle, "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"Already running on {layout.root}, as process {file.read().strip() or '?'}: "
                "stop that one, or name another folder with --data-dir"
            ) from error
        file.truncate(0)
        file.seek(0)
        file.write(str(os.getpid()))
        file.flush()
        yield  # the lock goes with the file


def write(layout: Layout, running: Iterable[Running]) -> None:
    """Keep the list of what runs."""
    ordered = sorted(running, key=lambda one: (ROLES.index(one.role), one.pid))
    write_private(layout.run_file, json.dumps([asdict(one) for one in ordered], indent=1) + "\n")


def read(layout: Layout) -> list[Running]:
    """What was noted last, in the order of ROLES, whether it still lives or not."""
    try:
        return [Running(**entry) for entry in json.loads(layout.run_file.read_text(encoding="utf-8"))]
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return []


def living(layout: Layout) -> list[Running]:
    """What runs now: the noted processes that are still the same ones."""
    return [one for one in read(layout) if ours(one.pid, one.create_time)]


def end_leftovers(layout: Layout) -> list[Running]:
    """End what a killed supervisor left behind; call with the lock held. Returns what was ended."""
    ended = []
    for one in read(layout):
        process = ours(one.pid, one.create_time) if one.pid != os.getpid() else None
        if process is not None:
            end_leftover(process, signal.SIGINT if one.role == "postgres" else signal.SIGTERM, within_s=8)
            ended.append(one)
    layout.run_file.unlink(missing_ok=True)
    return ended
