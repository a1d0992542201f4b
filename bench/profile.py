"""Profiles of the service's Python processes while they work, by py-spy where it is asked for.

py-spy looks from outside, so that what it looks at runs almost as fast as ever. It is no
dependency: `uv tool run` fetches it. It needs leave to look at other processes (root, or `kernel.yama.ptrace_scope=0`).
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PY_SPY = "py-spy==0.4.1"
ROLES = ("web", "worker")
STARTS_WITHIN_S = 3.0


class Profiler:
    """Writes the stacks of each process of ROLES to `folder`; without a folder it does nothing."""

    def __init__(self, folder: Path | None, *, rate: int = 100, native: bool = False) -> None:
        self.folder, self.rate, self.native = folder, rate, native
        self.files: dict[str, Path] = {}

    @contextmanager
    def watching(self, processes: Sequence[tuple[str, int]], seconds: float) -> Iterator[None]:
        """Watch the processes, given as role and id, for so many seconds, but no longer than the block takes."""
        if self.folder is None:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        spies = [self._spy(role, pid, seconds) for role, pid in processes if role in ROLES]
        time.sleep(STARTS_WITHIN_S)
        try:
            yield
        finally:
            for spy in spies:
                try:
                    spy.wait(seconds + 30)
                except subprocess.TimeoutExpired:
                    spy.kill()

    def _spy(self, role: str, pid: int, seconds: float) -> "subprocess.Popen[bytes]":
        assert self.folder is not None
        name = role if role not in self.files else f"{role}-{pid}"
        self.files[name] = self.folder / f"{name}.stacks"
        words = ["--pid", str(pid), "--duration", str(round(seconds + STARTS_WITHIN_S)), "--rate", str(self.rate)]
        words += ["--format", "raw", "--function", "--output", str(self.files[name])]
        # To see C code too, py-spy must stop the process for each look, which halves what it gets done.
        words += ["--native"] if self.native else ["--nonblocking"]
        runner = [str(Path(sys.executable).with_name("uv")), "tool", "run", "-q", PY_SPY]
        return subprocess.Popen(  # noqa: S603 - a tool of ours
            [*runner, "record", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stacks(self) -> dict[str, list[str]]:
        """The stacks of each process watched; of one that could not be watched none."""
        return {
            name: file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []
            for name, file in self.files.items()
        }
