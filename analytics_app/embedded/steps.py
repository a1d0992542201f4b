"""The steps of a start, as they are shown: moving on a terminal, a line each elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn
from rich.spinner import Spinner
from rich.text import Text


class _Mark(ProgressColumn):
    """A spinner while a step is under way, then a tick."""

    def __init__(self) -> None:
        super().__init__()
        self._spinner = Spinner("dots", style="cyan")

    def render(self, task: Task) -> Text | Spinner:
        if task.finished:
            return Text("✓", style="green")
        return self._spinner


class Steps:
    """Shows steps on `console`; use as `with steps.step("Kafka"): …`."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, title: str, total_bytes: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show `title` until the block ends; yields what to call with the bytes that have come.

        A step that raises leaves no tick.
        """
        began = time.monotonic()
        if not self.console.is_terminal:
            yield lambda _amount: None
            self.console.print(f"{title}: ready after {time.monotonic() - began:.1f} s", soft_wrap=True)
            return
        columns: list[ProgressColumn] = [TextColumn(" "), _Mark(), TextColumn("{task.description}")]
        if total_bytes is not None:
            columns += [BarColumn(bar_width=30), DownloadColumn()]
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=total_bytes or 1)
            yield lambda amount: progress.advance(task, amount)
        self.console.print(
            Text.assemble("  ", ("✓ ", "green"), title, (f"  {time.monotonic() - began:.1f} s", "dim")), soft_wrap=True
        )
