"""The load as a whole: its processes, started, let go together, and their counts put together."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench.generator import ANSWERED_WITHIN_S, Order, Sent

ROOT = Path(__file__).parent.parent


class LoadFailed(RuntimeError):
    """Raised when a process of the load did not do its work."""


class Load:
    """Load processes that are connected and wait for `go`."""

    def __init__(self, processes: list["subprocess.Popen[str]"]) -> None:
        self.processes = processes

    def go(self) -> None:
        """Let them send."""
        for process in self.processes:
            _pipe(process.stdin).write("go\n")
            _pipe(process.stdin).flush()

    def result(self) -> Sent:
        """What all of them did, once they are done. Raises LoadFailed."""
        return together([Sent.read(_line(process)) for process in self.processes])


@contextmanager
def load(orders: list[Order]) -> Iterator[Load]:
    """Processes that have their orders and are connected; ended at the end of the block. Raises LoadFailed."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.generator"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for _ in orders
    ]  # fmt: skip
    try:
        for process, order in zip(processes, orders, strict=True):
            _pipe(process.stdin).write(order.line())
            _pipe(process.stdin).flush()
        for process in processes:
            if _line(process).strip() != "ready":
                raise LoadFailed("a load process did not become ready")
        yield Load(processes)
    finally:
        for process in processes:
            if process.poll() is None and process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(ANSWERED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def shared_out(total: int, among: int) -> list[int]:
    """`total` in `among` parts as equal as they can be, none of them empty."""
    among = max(1, min(total, among))
    return [total // among + (1 if number < total % among else 0) for number in range(among)]


def together(all_sent: list[Sent]) -> Sent:
    """What several processes did, as if it had been one."""
    whole = Sent(
        began_at=min(sent.began_at for sent in all_sent),
        ended_at=max(sent.ended_at for sent in all_sent),
        views=sum(sent.views for sent in all_sent),
        cpu_s=sum(sent.cpu_s for sent in all_sent),
    )
    for sent in all_sent:
        whole.outcomes.update(sent.outcomes)
        whole.latencies.merge(sent.latencies)
    return whole


def _line(process: "subprocess.Popen[str]") -> str:
    line = _pipe(process.stdout).readline()
    if not line:
        raise LoadFailed(f"a load process ended with exit code {process.wait()}")
    return line


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
