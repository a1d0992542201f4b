"""How many visitors a second are told their variant: such as were never seen, and such as come again."""

import time
from typing import Any

from rich.console import Console

from bench.generator import Order
from bench.ingest import LOAD, Conditions
from bench.load import load, shared_out
from bench.profile import Profiler
from bench.service import Service
from bench.traffic import Traffic
from bench.usage import read_cpu, used

WANTED_PER_S = 3_000
COME_AGAIN = 1_000
"""So few that nearly every answer is to somebody who was told before."""
STORED_WITHIN_S = 30.0


def variant(service: Service, under: Conditions, profiler: Profiler) -> dict[str, Any]:
    """Ask for variants of a running experiment: answers a second and latencies by mix, and what went wrong."""
    website = service.new_websites(1)[0]["id"]
    path = f"/websites/{website}/experiments"
    body = {"name": "Bench", "goal_type": "pageview", "goal_value": "/done"}
    experiment = service.call("POST", path, body)["data"]["id"]
    for name in ("Control", "Blue"):
        config = {"color": name}
        service.call(
            "POST", f"{path}/{experiment}/variants", {"name": name, "is_control": name == "Control", "config": config}
        )
    service.call("POST", f"{path}/{experiment}/start", {})
    service.call("GET", f"{path}/{experiment}/results")  # loads the statistics, once a process: no part of a variant
    host, keys = f"127.0.0.1:{service.port}", (str(experiment),)
    traffic = {"new": Traffic(host, keys, under.visitors), "known": Traffic(host, keys, COME_AGAIN)}
    found: dict[str, Any] = {}
    faults: list[str] = []
    processes = service.processes()
    for mix in ("new", "known"):
        orders = [
            Order(service.port, share, under.seconds, mix, traffic[mix], number)
            for number, share in enumerate(shared_out(under.connections, under.generators))
        ]
        watched = profiler if mix == "new" else Profiler(None)
        with load(orders) as running, watched.watching(processes, under.seconds):
            before = read_cpu(processes)
            running.go()
            sent = running.result()
            answers = max(1, sent.outcomes.total())
            if mix == "new":  # each is counted in the end, and that is part of what it costs
                faults += _missing(service, f"{path}/{experiment}/results", answers)
            cpu = used(before, read_cpu(processes), **{LOAD: sent.cpu_s}).by_role
        faults += [f"{mix}: {count} answers {outcome}" for outcome, count in sent.outcomes.items() if outcome != "200"]
        found[mix] = {
            "per_s": round(answers / (sent.ended_at - sent.began_at)),
            "cpu_us": {role: round(seconds / answers * 1e6, 1) for role, seconds in cpu.items()},
            **sent.latencies.summary_ms(),
        }
    if (rate := found["new"]["per_s"]) < WANTED_PER_S:
        faults.append(f"{rate:,} new visitors a second are told their variant, {WANTED_PER_S:,} are meant")
    return {"wanted_per_s": WANTED_PER_S, "mixes": found, "cpu_us_per_hit": found["new"]["cpu_us"], "faults": faults}


def _missing(service: Service, path: str, answers: int) -> list[str]:
    """Whether each visitor who was told a variant is counted in the end."""
    until, visitors = time.monotonic() + STORED_WITHIN_S, -1
    while time.monotonic() < until:
        visitors = service.call("GET", path)["metrics"]["total_visitors"]
        if visitors == answers:
            return []
        time.sleep(0.5)
    return [f"{answers} visitors were told a variant, {visitors} are counted"]


def show_variant(console: Console, found: dict[str, Any]) -> None:
    """Rates and latencies."""
    for mix, said in found["mixes"].items():
        latency = f"p50 {said['p50']}, p99 {said['p99']}, longest {said['max']} ms"
        rate = f"[bold]{said['per_s']:,}/s[/bold] ({found['wanted_per_s']:,} wanted)"
        cost = ", ".join(f"{role} {each}" for role, each in said["cpu_us"].items())
        console.print(f"{mix} visitors: {rate}, {latency}; CPU µs each: {cost}")
    for fault in found["faults"]:
        console.print(f"FAULT  {fault}", style="bold red", soft_wrap=True)
