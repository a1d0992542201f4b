"""Starting and stopping processes of our own, and telling them from others' by process id and time of creation."""

import fcntl
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

GUARD = Path(__file__).with_name("guard.py")
# The clock that creation times are read from may be set by a second or two between two readings.
SAME_TIME_S = 2.0


@dataclass(frozen=True)
class Program:
    """What to run and how to end it."""

    role: str
    command: Sequence[str]
    name: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    log_file: Path | None = None  # stdout and stderr go there; without it the caller reads them from the process
    user: tuple[int, int] | None = None  # uid and gid to run as; None: ours
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 10.0
    orphan_signal: signal.Signals = signal.SIGKILL  # sent when the supervisor is gone

    @property
    def title(self) -> str:
        """How messages call it: `worker-1`."""
        return self.name or self.role


def spawn(program: Program, *, pipe: bool = False) -> "subprocess.Popen[bytes]":
    """Start `program` in a session of its own, guarded; the process id is that of the program itself.

    `pipe=True` takes the guard for systems without a parent death signal, for tests.
    """
    uid, gid = program.user or (-1, -1)
    read_end, write_end = os.pipe() if pipe or sys.platform != "linux" else (-1, -1)
    output: int | IO[bytes] = program.log_file.open("ab") if program.log_file else subprocess.PIPE
    guard = (program.orphan_signal.value, os.getpid(), uid, gid, read_end)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", str(GUARD), *map(str, guard), *program.command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            cwd=program.directory, env={**os.environ, **program.environment},
            start_new_session=True, pass_fds=[read_end] if read_end >= 0 else [],
        )  # fmt: skip
    finally:
        if not isinstance(output, int):
            output.close()
        if read_end >= 0:
            os.close(read_end)
    if write_end >= 0:
        # Never inherited by the next child; closed with this process, or when the one it guards is forgotten.
        fcntl.fcntl(write_end, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        weakref.finalize(process, os.close, write_end)
    return process


def stop(process: "subprocess.Popen[bytes]", program: Program) -> bool:
    """End the process: politely, then after `stop_within_s` for good. Returns whether politeness was enough."""
    if process.poll() is not None:
        return True
    process.send_signal(program.stop_signal)
    try:
        process.wait(program.stop_within_s)
    except subprocess.TimeoutExpired:
        kill_group(process.pid)
        process.wait()
        return False
    return True


def kill_group(pid: int) -> None:
    """SIGKILL for the process and its children: each of ours leads a group of its own."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        with_pid = ours(pid)
        if with_pid is not None:
            with_pid.kill()


def ours(pid: int, create_time: float | None = None) -> psutil.Process | None:
    """The living process `pid`, if it was created at `create_time` (seconds since 1970); None for any other."""
    try:
        process = psutil.Process(pid)
        if create_time is not None and abs(process.create_time() - create_time) > SAME_TIME_S:
            return None
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.Error:
        return None


def end_leftover(process: psutil.Process, stop_signal: signal.Signals, within_s: float) -> None:
    """End a process that is not a child of this one, and its group; returns when it is gone."""
    try:
        process.send_signal(stop_signal)
        process.wait(within_s)
    except psutil.TimeoutExpired:
        kill_group(process.pid)
        process.wait(5)
    except psutil.NoSuchProcess:
        pass


def wait_until_gone(processes: Sequence[psutil.Process], within_s: float) -> list[psutil.Process]:
    """The processes that still live after `within_s`."""
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return list(alive)


def last_lines(path: Path, count: int = 15) -> list[str]:
    """The last lines of a log, at most 8 KiB; none where there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def bound(path: Path, most_bytes: int = 10_000_000) -> None:
    """Keep a log that its writer appends to under `most_bytes`, with one older part beside it.

    The file is copied and cut rather than renamed: its writer keeps it open.
    """
    try:
        if path.stat().st_size <= most_bytes:
            return
        older = path.with_suffix(path.suffix + ".1")
        older.write_bytes(path.read_bytes())
        os.truncate(path, 0)
    except FileNotFoundError:
        return


def died_of(code: int) -> str:
    """An exit code in words: `by signal 9 (SIGKILL)`, `with exit code 1`."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"by signal {-code}"
