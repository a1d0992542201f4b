"""The figures as tables for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from bench.hot import hottest
from bench.ingest import LOAD

HOTTEST = 30


def show_ingest(console: Console, found: dict[str, Any]) -> None:
    """Rates, latency, costs by process."""
    accepted, stored, machine = found["accepted"], found["stored"], found["machine"]
    latency = accepted["latency_ms"]
    rates = Table(box=None, show_header=False, pad_edge=False)
    rates.add_row("stored", f"[bold]{stored['per_s']:,}/s[/bold]", f"{stored['hits']:,} hits in {stored['seconds']} s,")
    rates.add_row("", "", f"the last {stored['after_the_last_answer_s']} s after its answer")
    rates.add_row("accepted", f"[bold]{accepted['per_s']:,}/s[/bold]", f"{accepted['hits']:,} answers of Kafka's word")
    rates.add_row(
        "latency", f"{latency['p50']} ms", f"p90 {latency['p90']}, p99 {latency['p99']}, longest {latency['max']} ms"
    )
    console.print(rates)
    console.print()
    costs = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("process", "CPU µs a hit", "CPU s", "peak MB"):
        costs.add_column(title, justify="left" if title == "process" else "right")
    per_hit, seconds, peaks = found["cpu_us_per_hit"], found["cpu_s"], found["peak_memory_mb"]
    for role in sorted(seconds, key=lambda role: (role == LOAD, -seconds[role])):
        style = "dim" if role == LOAD else ""
        costs.add_row(role, f"{per_hit[role]:.1f}", f"{seconds[role]:.1f}", str(peaks.get(role, "")), style=style)
    costs.add_section()
    total_s = sum(value for role, value in seconds.items() if role != LOAD)
    costs.add_row("service", f"{per_hit['all']:.1f}", f"{total_s:.1f}", str(sum(peaks.values())), style="bold")
    console.print(costs)
    console.print(
        f"\n{machine['cores']} cores, load average {machine['load_average_before']} before and "
        f"{machine['load_average_after']} after; {machine['cpu_elsewhere_s']} s of CPU elsewhere (kernel, neighbours)",
        style="dim",
    )
    for fault in found["faults"]:
        console.print(f"FAULT  {fault}", style="bold red", soft_wrap=True)
    if not found["faults"]:
        console.print("Every acknowledged hit is stored once, and the recount agrees.", style="green")


def show_freshness(console: Console, found: dict[str, Any]) -> None:
    """How long after `ok` a hit shows."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("shows in", "p50 ms", "p90 ms", "p99 ms", "longest ms"):
        table.add_column(title, justify="left" if title == "shows in" else "right")
    for place in ("realtime", "stats"):
        one = found[place]
        table.add_row(place, *(f"{one[name]:.0f}" for name in ("p50", "p90", "p99", "max")))
    console.print(table)
    console.print(f"{found['samples']} hits, one at a time", style="dim")
    for fault in found["faults"]:
        console.print(f"FAULT  {fault}", style="bold red", soft_wrap=True)


def show_reads(console: Console, found: dict[str, Any]) -> None:
    """How long each question took, beside how long it may."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("question", "p50 ms", "p90 ms", "p99 ms", "longest ms", "p99 within"):
        table.add_column(title, justify="left" if title == "question" else "right")
    for one in found["questions"]:
        style = "" if one["p99"] <= one["within_ms"] else "bold red"
        numbers = (f"{one[name]:.1f}" for name in ("p50", "p90", "p99", "max"))
        table.add_row(one["question"], *numbers, f"{one['within_ms']:.0f}", style=style)
    console.print(table)
    said = found["conditions"]
    events, days = f"{said['events']:,}", said["days"]
    console.print(f"{events} events over {days} days, seeded in {found['seeded_s']} s", style="dim")
    for fault in found["faults"]:
        console.print(f"FAULT  {fault}", style="bold red", soft_wrap=True)


def show_profile(console: Console, role: str, stacks: list[str], per_hit_us: float, root: str) -> None:
    """The functions a process spends its time in."""
    if not stacks:
        console.print(f"{role} could not be watched: py-spy needs leave to look at other processes", style="yellow")
        return
    table = Table(box=None, pad_edge=False, header_style="dim", title=f"{role}: {per_hit_us:.0f} µs a hit")
    for title in ("own µs", "whole µs", "function"):
        table.add_column(title, justify="left" if title == "function" else "right", overflow="fold")
    for line in hottest(stacks, root)[:HOTTEST]:
        table.add_row(f"{line.own * per_hit_us:.1f}", f"{line.whole * per_hit_us:.1f}", line.function)
    console.print(table)
