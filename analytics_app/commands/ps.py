"""`analytics ps`: the running processes."""

import json
import sys
import time

import psutil
from rich.console import Console
from rich.table import Table

from analytics_app.embedded import state
from analytics_app.embedded.layout import Layout
from analytics_app.settings import Settings


def ps(settings: Settings, *, as_json: bool) -> int:
    """Print what runs on the data folder; returns the exit code, 1 where nothing does."""
    running = state.living(Layout(settings.data_dir))
    if as_json:
        sys.stdout.write(json.dumps([{"role": one.role, "pid": one.pid} for one in running]) + "\n")
        return 0 if running else 1
    if not running:
        sys.stdout.write(f"nothing runs on {settings.data_dir}\n")
        return 1
    table = Table("role", "pid", "up for", "memory", box=None, pad_edge=False, header_style="dim")
    for one in running:
        table.add_row(one.role, str(one.pid), _age(time.time() - one.create_time), _memory(one.pid))
    Console().print(table)
    return 0


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _memory(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).memory_info().rss / 1e6:.0f} MB"
    except psutil.Error:
        return "?"
