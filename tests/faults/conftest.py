"""One service for all stories; each story has websites of its own in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.rig import Rig


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what hurts real processes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.services)


FIGURES: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the stories came to."""
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The running service."""
    rig = Rig(tmp_path_factory.mktemp("faults"))
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
        FIGURES.extend(rig.figures)


def seconds(default: float) -> float:
    """How long a story takes: FAULT_SECONDS, where it is set."""
    return float(os.environ.get("FAULT_SECONDS") or default)


def seeds() -> list[int]:
    """The seeds of the random stories: FAULT_SEEDS, as 1,2,3."""
    return [int(seed) for seed in (os.environ.get("FAULT_SEEDS") or "1").split(",")]
