"""What the service holds: idle, with many live sessions, and after a while of steady work; and what lies on disk."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.ingest import Conditions, faults, ingest
from bench.profile import Profiler
from bench.service import Service
from bench.stored import database
from bench.usage import held_by_role, high_water_of

IDLE_AFTER_S = 30.0
IDLE_MOST = 1_200_000_000
WORKER_MOST = 400_000_000
FILLED_FOR_S = 10.0
"""At a time, so that there are not many more sessions than were asked for."""
SOAK_PER_S = 500.0
SOAK_GROWS_LESS_THAN = 1.1


def memory(service: Service, under: Conditions, sessions: int, soak_s: float) -> dict[str, Any]:
    """What processes hold when idle, with `sessions` live ones, and over `soak_s` seconds at 500/s; what disks do."""
    time.sleep(IDLE_AFTER_S)
    processes = service.processes()
    idle = held_by_role(processes)
    wrong: list[str] = []
    if (total := sum(idle.values())) > IDLE_MOST:
        wrong.append(f"idle, the service holds {total / 1e6:.0f} MB, at most {IDLE_MOST / 1e6:.0f} are meant")
    keys = tuple(site["pixel_key"] for site in service.new_websites(under.websites))
    disk_before, sent, seed = _on_disk(service), 0, 0
    with database(service.database_url) as db:
        while (live := db.live_sessions()) < sessions:
            seed += 1
            seconds = min(under.seconds, FILLED_FOR_S)
            filling = replace(under, visitors=sessions, seed=seed, seconds=seconds)
            run = ingest(service, filling, Profiler(None), keys)
            wrong += faults(run)
            sent += run.sent.outcomes["ok"]
            if wrong:
                break
    disk = {part: size - disk_before[part] for part, size in _on_disk(service).items()}
    worker = max((high_water_of(pid) for role, pid in processes if role == "worker"), default=0)
    if worker > WORKER_MOST:
        wrong.append(f"with {live:,} sessions the worker holds {worker / 1e6:.0f} MB")
    found: dict[str, Any] = {
        "idle_mb": _mb(idle),
        "live_sessions": live,
        "with_sessions_mb": _mb(held_by_role(processes)),
        "worker_peak_mb": round(worker / 1e6),
        "disk_mb_per_million_hits": {part: round(size / max(1, sent)) for part, size in disk.items()},
    }
    if soak_s:
        steady = replace(under, rate=SOAK_PER_S)
        readings = []
        for part in (1 / 3, 2 / 3):
            wrong += faults(ingest(service, replace(steady, seconds=soak_s * part), Profiler(None), keys))
            readings.append(held_by_role(processes))
        found["soak_mb"] = [_mb(one) for one in readings]
        for role in ("web", "worker"):
            if readings[1][role] > readings[0][role] * SOAK_GROWS_LESS_THAN:
                wrong.append(f"{role} grew from {readings[0][role] / 1e6:.0f} to {readings[1][role] / 1e6:.0f} MB")
    return {**found, "faults": wrong}


def _mb(held: dict[str, int]) -> dict[str, int]:
    return {**{role: round(size / 1e6) for role, size in held.items()}, "all": round(sum(held.values()) / 1e6)}


def _on_disk(service: Service) -> dict[str, int]:
    """Bytes of the database, and of the topic of hits."""
    with database(service.database_url) as db:
        postgres = db.bytes()
    topics = (service.data_dir / "kafka" / "data").glob("*-hits-*/*.log")
    return {"postgres": postgres, "kafka": sum(_taken(file) for file in topics)}


def _taken(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # a segment that Kafka dropped meanwhile
        return 0
