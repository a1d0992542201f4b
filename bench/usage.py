"""CPU and memory of the service's processes.

CPU is what the kernel accounts to a process and its descendants. A descendant that ends in between hands its time to
its parent, which waits for it: so the sum over the living tree, each with what its ended children took, misses nothing
(Postgres' connections come and go) and needs no polling. What the kernel does on nobody's account (network interrupts,
writing back) shows in the machine's figure alone.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

SAMPLED_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU so far, in seconds: by role, and of the whole machine."""

    by_role: dict[str, float]
    machine_s: float


@dataclass(frozen=True, slots=True)
class Used:
    """CPU between two readings, in seconds: by role, and of everything else on the machine, kernel included."""

    by_role: dict[str, float]
    elsewhere_s: float


def used(before: Reading, after: Reading, **known: float) -> Used:
    """What was used between two readings, and `known` seconds by roles that measure themselves."""
    by_role = {role: after.by_role[role] - before.by_role.get(role, 0.0) for role in after.by_role} | known
    return Used(by_role, max(0.0, after.machine_s - before.machine_s - sum(by_role.values())))


def read_cpu(processes: Sequence[tuple[str, int]]) -> Reading:
    """The CPU of those processes, given as role and id, until now; ended ones count as nothing."""
    by_role: dict[str, float] = defaultdict(float)
    for role, pid in processes:
        for process in trees(processes, pid):
            with suppress(psutil.Error):
                by_role[role] += sum(process.cpu_times()[:4])  # user, system, and both of children that have ended
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "steal", 0.0)
    return Reading(dict(by_role), sum(times[:8]) - idle)


def trees(processes: Iterable[tuple[str, int]], pid: int) -> list[psutil.Process]:
    """The process `pid` and its descendants, but for those that are listed themselves, and theirs."""
    listed = {other for _, other in processes} - {pid}
    found: list[psutil.Process] = []
    waiting = [pid]
    while waiting:
        with suppress(psutil.Error):
            process = psutil.Process(waiting.pop())
            found.append(process)
            waiting += [child.pid for child in process.children() if child.pid not in listed]
    return found


class Memory:
    """Peaks of memory by role, in bytes, taken while the block runs.

    Of a process that stands alone it is the kernel's own peak, from its start on. Of one with children, which share
    memory, it is the highest sum of their proportional shares, looked at every two seconds.
    """

    def __init__(self, processes: Sequence[tuple[str, int]]) -> None:
        self.processes = processes
        self.peaks: dict[tuple[str, int], int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def by_role(self) -> dict[str, int]:
        """The peaks; those of several processes of a role added up."""
        sums: dict[str, int] = defaultdict(int)
        for (role, _), peak in self.peaks.items():
            sums[role] += peak
        return dict(sums)

    def _watch(self) -> None:
        while True:
            for role, pid in self.processes:
                with suppress(psutil.Error):
                    held = _held(trees(self.processes, pid))
                    self.peaks[role, pid] = max(self.peaks.get((role, pid), 0), held)
            if self._stopped.wait(SAMPLED_EVERY_S):
                return


def _held(tree: list[psutil.Process]) -> int:
    if len(tree) == 1:
        return high_water(tree[0])
    total = 0
    for process in tree:
        with suppress(psutil.Error):
            full = process.memory_full_info()
            total += getattr(full, "pss", full.uss)
    return total


def held_by_role(processes: Sequence[tuple[str, int]]) -> dict[str, int]:
    """What those processes hold now, in bytes by role, of what they share their parts."""
    held: dict[str, int] = defaultdict(int)
    for role, pid in processes:
        for process in trees(processes, pid):
            with suppress(psutil.Error):
                full = process.memory_full_info()
                held[role] += getattr(full, "pss", full.uss)
    return dict(held)


def high_water_of(pid: int) -> int:
    """The most bytes that the process ever held resident; 0 where it is gone."""
    try:
        return high_water(psutil.Process(pid))
    except psutil.Error:
        return 0


def high_water(process: psutil.Process) -> int:
    """The most bytes a process ever held resident; where the system does not say, what it holds now."""
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(process.memory_info().rss)
