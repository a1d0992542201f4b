"""`analytics up`: run the service on this machine until Ctrl-C."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as Terminal
from rich.text import Text

from analytics_app import logs
from analytics_app.embedded import state
from analytics_app.embedded.console import Console
from analytics_app.embedded.layout import Layout
from analytics_app.embedded.start import Prepared, Start
from analytics_app.embedded.steps import Steps
from analytics_app.settings import Settings


def up(settings: Settings, *, web: int, workers: int) -> None:
    """Run until SIGINT or SIGTERM, then stop everything and return.

    Raises `embedded.errors.OperatingError` where the start fails; everything is stopped then, too.
    """
    with _terminal_of_our_own(), state.lock(Layout(settings.data_dir)):
        lines = Console()
        logs.configure(settings, lines)
        try:
            asyncio.run(_up(settings, web, workers, lines))
        finally:
            lines.drain()


async def _up(settings: Settings, web: int, workers: int, lines: Console) -> None:
    terminal = Terminal(highlight=False)
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    start = Start(settings, web=web, workers=workers, console=lines, steps=Steps(terminal))
    terminal.print(f"[bold]Analytics[/bold] starts, with its data in {settings.data_dir}", soft_wrap=True)
    if terminal.is_terminal:
        lines.hold()
    try:
        starting = asyncio.create_task(start.run())
        stopping = asyncio.create_task(asked_to_stop.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            greet(terminal, settings, start.address, starting.result())
            lines.release(everything=False)
            await stopping
        terminal.print("\nStopping …")
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await start.end()
        lines.release(everything=False)
    terminal.print("Stopped.")


def greet(terminal: Terminal, settings: Settings, address: str, prepared: Prepared) -> None:
    """Say where the service is, and what to do first."""
    site = settings.public_url.rstrip("/") or address
    token = prepared.token or "$ANALYTICS_TOKEN"
    curl = f'curl -H "Authorization: Bearer {token}" {address}/analytics/websites/{prepared.website_id}/stats'
    snippet = f'<script defer data-key="{prepared.pixel_key}" src="{site}/js/analytics.js"></script>'

    def line(title: str, value: str, style: str = "", note: str = "") -> None:
        text = Text.assemble("  ", (f"{title:<12}", "dim"), (value, style), (f"  {note}" if note else "", "dim"))
        terminal.print(text, soft_wrap=True)

    terminal.print()
    terminal.print(Text.assemble("  Running at ", (site, "bold green")), soft_wrap=True)
    terminal.print()
    if settings.demo:
        line("Try it", f"{address}/demo", "cyan", "a page that carries the tracker")
    if prepared.token:
        line("Your token", prepared.token, "bold yellow", "shown only this once: keep it")
    elif settings.bootstrap_token.get_secret_value():
        line("Your token", "as ANALYTICS_BOOTSTRAP_TOKEN says")
    else:
        line("Your token", "as shown at the first start", note="for another: analytics tokens create")
    line("Tracker", snippet, "cyan", "into the <head> of your pages")
    line("Numbers", curl, "cyan")
    line("API docs", f"{address}/analytics/docs", "cyan")
    terminal.print()
    line("Ctrl-C", "stops everything; the data stays")
    terminal.print()


@contextmanager
def _terminal_of_our_own() -> Iterator[None]:
    """Under make on a terminal, let Ctrl-C come to us alone.

    Make would answer it by ending itself with an error, while we stop cleanly. So this process leaves make's group and
    becomes the terminal's foreground group itself, until it ends.
    """
    if "MAKELEVEL" not in os.environ or not sys.stdin.isatty() or os.getpgrp() == os.getpid():
        yield
        return
    terminal, before = sys.stdin.fileno(), os.getpgrp()
    if os.tcgetpgrp(terminal) != before:  # we are in the background
        yield
        return
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or taking the terminal would stop us
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # nobody would see us stopped, or wake us
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(terminal, before)
