"""How fast hits are accepted and stored, and what it costs."""

import os
from dataclasses import dataclass, replace
from typing import Any, Self

from bench.generator import Order, Sent
from bench.lag import lag_at
from bench.load import load, shared_out
from bench.profile import Profiler
from bench.service import Service
from bench.stored import Counts, database
from bench.traffic import Traffic
from bench.usage import Memory, Used, read_cpu, used

STALLED_AFTER_S = 30.0
LOAD = "load"


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a run takes place."""

    seconds: float = 60.0
    connections: int = 48
    websites: int = 10
    visitors: int = 10_000
    paths: int = 1000
    mix: str = "single"
    generators: int = 1
    rate: float = 0.0
    """Requests a second; 0: as many as are answered."""
    follows: bool = False
    """Whether a run ends only when visitors have been followed through funnels, too."""
    seed: int = 1
    """Of other visitors with other sessions."""

    def lasting(self, seconds: float) -> Self:
        """The same for another time."""
        return replace(self, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured; times by the monotonic clock, CPU in seconds, memory in bytes."""

    sent: Sent
    stored_at: float | None
    found: Counts
    records: int
    transactions: int
    cpu: Used
    peaks: dict[str, int]
    restarted: bool
    verified: str
    load_average: tuple[float, float]
    longest_lag_s: float | None = None


def ingest(
    service: Service, under: Conditions, profiler: Profiler, keys: tuple[str, ...] = (), only: tuple[int, ...] = ()
) -> Run:
    """Send, wait until all is stored, and count.

    `keys` are of the websites to send to; new ones are made without. A recount is made of all websites, or of `only`
    some, where there is much that was counted before.
    """
    keys = keys or _new_websites(service, under)
    traffic = Traffic(f"127.0.0.1:{service.port}", keys, under.visitors, under.paths, under.seed)
    orders = orders_of(under, service.port, traffic)
    processes = service.processes()
    load_before = os.getloadavg()[0]
    with database(service.database_url) as db, load(orders) as sending, Memory(processes) as memory:
        before, cpu_before = db.counts(), read_cpu(processes)
        records_before, batches_before = db.records(), service.batches()
        with profiler.watching(processes, under.seconds), lag_at(service.database_url, under.rate) as lag:
            sending.go()
            sent = sending.result()
            load_after = os.getloadavg()[0]
            stored_at = db.wait_until_settled(before, sent.outcomes["ok"], STALLED_AFTER_S)
            if under.follows and stored_at is not None:
                stored_at = max(stored_at, db.wait_until_followed() or stored_at)
        cpu = used(cpu_before, read_cpu(processes), **{LOAD: sent.cpu_s})
        found = db.counts() - before
        records, transactions = db.records() - records_before, service.batches() - batches_before
    return Run(
        sent, stored_at, found, records, transactions, cpu, memory.by_role(), service.processes() != processes,
        _verified(service, only), (load_before, load_after), lag.longest_s if under.rate else None,
    )  # fmt: skip


def orders_of(under: Conditions, port: int, traffic: Traffic) -> list[Order]:
    """What each process of the load is to do."""
    return [
        Order(port, connections, under.seconds, under.mix, traffic, seed, under.rate * connections / under.connections)
        for seed, connections in enumerate(shared_out(under.connections, under.generators))
    ]


def _new_websites(service: Service, under: Conditions) -> tuple[str, ...]:
    return tuple(site["pixel_key"] for site in service.new_websites(under.websites))


def _verified(service: Service, only: tuple[int, ...]) -> str:
    """Empty where `analytics verify` finds every rollup equal to a recount; else what it says."""
    answer = service.command("verify", *(word for one in only for word in ("--website", str(one))))
    return "" if answer.returncode == 0 else (answer.stdout + answer.stderr).strip() or "failed"


def faults(run: Run) -> list[str]:
    """What must not be: hits lost or doubled, processes that died, rollups that differ from a recount."""
    found, ok = run.found, run.sent.outcomes["ok"]
    refused = {outcome: count for outcome, count in run.sent.outcomes.items() if outcome != "ok"}
    unknown = sum(count for outcome, count in refused.items() if outcome in ("lost", "503"))
    settled = found.stored + found.not_counted
    said = [f"{count} answered {outcome}" for outcome, count in sorted(refused.items())]
    if run.stored_at is None:
        said.append(f"only {settled} of {ok} acknowledged hits came out of the stream")
    if not ok <= found.stored <= ok + unknown:
        said.append(f"{ok} acknowledged, {found.stored} stored, {found.not_counted} taken and not stored")
    if not run.sent.views <= found.rows <= run.sent.views + unknown:
        said.append(f"{run.sent.views} pageviews acknowledged, {found.rows} rows")
    if found.in_rollups != found.rows:
        said.append(f"{found.rows} rows of pageviews, {found.in_rollups} in the rollups")
    if run.restarted:
        said.append("a process of the service was started anew")
    if run.verified:
        said.append(f"analytics verify: {run.verified}")
    return said


def figures(run: Run) -> dict[str, Any]:
    """The run's figures, as they go into a file."""
    sent, ok = run.sent, max(1, run.sent.outcomes["ok"])
    sending_s = sent.ended_at - sent.began_at
    storing_s = run.stored_at - sent.began_at if run.stored_at else None
    service_s = sum(seconds for role, seconds in run.cpu.by_role.items() if role != LOAD)
    return {
        "accepted": {
            "hits": run.sent.outcomes["ok"],
            "per_s": round(ok / sending_s),
            "latency_ms": sent.latencies.summary_ms(),
            "answers": dict(sent.outcomes),
        },
        "stored": {
            "hits": run.found.stored,
            "per_s": round(run.found.stored / storing_s) if storing_s else 0,
            "seconds": round(storing_s, 2) if storing_s else None,
            "after_the_last_answer_s": round(storing_s - sending_s, 2) if storing_s else None,
            "hits_per_record": round(run.found.stored / max(1, run.records), 1),
            "hits_per_transaction": round(run.found.stored / max(1, run.transactions), 1),
        },
        "cpu_us_per_hit": {
            "all": round(service_s / ok * 1e6, 1),
            **{role: round(seconds / ok * 1e6, 1) for role, seconds in run.cpu.by_role.items()},
        },
        "cpu_s": {role: round(seconds, 2) for role, seconds in run.cpu.by_role.items()},
        "peak_memory_mb": {role: round(peak / 1e6) for role, peak in run.peaks.items()},
        "machine": {
            "cores": os.cpu_count(),
            "load_average_before": round(run.load_average[0], 2),
            "load_average_after": round(run.load_average[1], 2),
            "cpu_elsewhere_s": round(run.cpu.elsewhere_s, 1),
        },
        "longest_lag_s": None if run.longest_lag_s is None else round(run.longest_lag_s, 2),
        "faults": faults(run),
    }
