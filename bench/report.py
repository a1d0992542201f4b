"""The figures as tables for people."""

from statistics import mean
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
    rates.add_row("", "", f"{stored['hits_per_record']} hits a record, {stored['hits_per_transaction']} a transaction")
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
    bare_us = mean(one["cpu_us"] for one in found["bare"])
    console.print(
        f"a bare aiohttp application answers {min(one['per_s'] for one in found['bare']):,}/s here,"
        f" for {bare_us:.0f} µs each: a hit costs [bold]{per_hit['all'] / bare_us:.1f}[/bold] of these",
    )
    for fault in found["faults"]:
        console.print(f"FAULT  {fault}", style="bold red", soft_wrap=True)
    if not found["faults"]:
        console.print("Every acknowledged hit is stored once, and the recount agrees.", style="green")


def show_definitions(console: Console, found: dict[str, Any]) -> None:
    """What definitions cost: each run with them beside the one without just before it."""
    said = found["definitions_each"]
    title = f"{said['goals']} goals and {said['funnels']} funnels on each of {found['conditions']['websites']}"
    table = Table(box=None, pad_edge=False, header_style="dim", title=title)
    for name in ("", "stored/s", "CPU µs a hit", "worker's", "Postgres'", "Kafka's", "last s after its answer"):
        table.add_column(name, justify="right" if name else "left")
    for pair in zip(found["runs"]["without"], found["runs"]["with"], strict=True):
        for name, one in zip(("without", "with"), pair, strict=True):
            costs = (f"{one['cpu_us_per_hit'].get(role, 0):.1f}" for role in ("all", "worker", "postgres", "kafka"))
            table.add_row(name, f"{one['stored']['per_s']:,}", *costs, str(one["stored"]["after_the_last_answer_s"]))
    console.print(table)
    for name, ratios in found["ratios"].items():
        console.print(f"{name}: {found['means'].get(name)} times ({', '.join(map(str, ratios))})")
    console.print(f"of the rate at least {found['at_least']} is meant to be left")
    _show_faults(console, found)


def show_freshness(console: Console, found: dict[str, Any]) -> None:
    """How long after `ok` a hit shows."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("shows in", "p50 ms", "p90 ms", "p99 ms", "longest ms"):
        table.add_column(title, justify="left" if title == "shows in" else "right")
    for place in ("realtime", "stats"):
        one = found[place]
        table.add_row(place, *(f"{one[name]:.0f}" for name in ("p50", "p90", "p99", "max")))
    console.print(table)
    meanwhile = f", at {found['rate']:,} hits/s on other websites" if "rate" in found else ""
    console.print(f"{found['samples']} hits, one at a time{meanwhile}", style="dim")
    for fault in found["faults"]:
        console.print(f"FAULT  {fault}", style="bold red", soft_wrap=True)


def show_replays(console: Console, found: dict[str, Any]) -> None:
    """What became of chunks of recordings, and what they take."""
    accepted, first = found["accepted_ms"], found["first_byte_ms"]
    for said in (
        f"{found['chunks']} chunks stored, {found['chunks_per_s']} a second; all {found['drained_s']} s after the last",
        f"accepted in p50 {accepted['p50']:.0f}, p99 {accepted['p99']:.0f} ms",
        f"first byte of playback p50 {first['p50']:.0f}, p99 {first['p99']:.0f} ms",
        f"{found['stored_kb_per_minute']} kB a recorded minute, compressed {found['compression']} to 1",
        f"{found['table_kb_per_minute']} kB on disk, with indexes",
    ):
        console.print(said)
    for fault in found["faults"]:
        console.print(f"FAULT  {fault}", style="bold red", soft_wrap=True)


def show_reads(console: Console, found: dict[str, Any]) -> None:
    """How long each question took, beside how long it may."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("question", "p50 ms", "p90 ms", "p99 ms", "longest ms", "p99 within", "CPU ms"):
        table.add_column(title, justify="left" if title == "question" else "right")
    for one in found["questions"]:
        style = "" if one["p99"] <= one["within_ms"] else "bold red"
        numbers = (f"{one[name]:.1f}" for name in ("p50", "p90", "p99", "max"))
        cpu = f"{one['web_cpu'] + one['postgres_cpu']:.0f}" if "web_cpu" in one else ""
        table.add_row(one["question"], *numbers, f"{one['within_ms']:.0f}", cpu, style=style)
    console.print(table)
    said = found["conditions"]
    what = "samples" if "samples" in said else "events"
    count, days = f"{said[what]:,}", said["days"]
    console.print(f"{count} {what} over {days} days, seeded in {found['seeded_s']} s", style="dim")
    if said.get("recounted"):
        console.print("Every answer was compared with a recount of the raw rows.", style="dim")
    for fault in found["faults"]:
        console.print(f"FAULT  {fault}", style="bold red", soft_wrap=True)


def show_rate(console: Console, found: dict[str, Any]) -> None:
    """The rates that were tried, and the highest that held."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("sent/s", "longest lag s", "p50 ms", "p99 ms", "CPU µs a hit", ""):
        table.add_column(title, justify="right")
    for one in found["tries"]:
        latency, held = one["accepted"]["latency_ms"], one["held"]
        numbers = (f"{one['rate']:,}", f"{one['longest_lag_s']:.2f}", f"{latency['p50']}", f"{latency['p99']}")
        table.add_row(
            *numbers, f"{one['cpu_us_per_hit']['all']}", "" if held else "too much", style="" if held else "dim"
        )
    console.print(table)
    console.print(f"[bold]{found['highest_per_s']:,}/s[/bold] is the highest that is stored within a second")
    _show_faults(console, found)


def show_growth(console: Console, found: dict[str, Any]) -> None:
    """What a hit costs in each run, and how the runs compare."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("with", "CPU µs a hit", "worker's", "stored/s"):
        table.add_column(title, justify="left" if title == "with" else "right")
    for name, one in found["runs"].items():
        costs = one["cpu_us_per_hit"]
        table.add_row(name, f"{costs['all']}", f"{costs['worker']}", f"{one['stored']['per_s']:,}")
    console.print(table)
    for one in found["comparisons"]:
        said = f"{one['run']}: {one['times']} times {one['by']}, at most {one['limit']}"
        console.print(said, style="" if one["times"] <= one["limit"] else "bold red")
    _show_faults(console, found)


def show_memory(console: Console, found: dict[str, Any]) -> None:
    """Megabytes by process."""
    readings = {"idle": found["idle_mb"], f"{found['live_sessions']:,} sessions": found["with_sessions_mb"]}
    readings |= {f"steady {number}": one for number, one in enumerate(found.get("soak_mb", ()), 1)}
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("MB", *found["idle_mb"]):
        table.add_column(title, justify="left" if title == "MB" else "right")
    for name, held in readings.items():
        table.add_row(name, *(str(held.get(role, "")) for role in found["idle_mb"]))
    console.print(table)
    disk = ", ".join(f"{part} {size}" for part, size in found["disk_mb_per_million_hits"].items())
    console.print(f"worker's peak {found['worker_peak_mb']} MB; on disk, MB a million hits: {disk}")
    _show_faults(console, found)


def _show_faults(console: Console, found: dict[str, Any]) -> None:
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
