"""One service for all stories; each story has websites of its own in it."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.rank import first
from tests.faults.rig import Rig

FIGURES: list[str] = []
_drawn = random.SystemRandom().randrange(1_000_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what hurts real processes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.services)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the stories came to."""
    if FIGURES:
        terminalreporter.write_line(f"fault stories of FAULT_SEEDS={','.join(map(str, seeds()))}")
    for line in FIGURES:
        terminalreporter.write_line(line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A story that takes a seed is told once for each."""
    given = {name for mark in metafunc.definition.iter_markers("parametrize") for name in str(mark.args[0]).split(",")}
    if "seed" in metafunc.fixturenames and "seed" not in given:
        metafunc.parametrize("seed", seeds())


def seeds() -> list[int]:
    """The seeds of the stories: FAULT_SEEDS, as 1,2,3 or `random`; printed with their figures."""
    given = os.environ.get("FAULT_SEEDS") or "1"
    return [_drawn] if given == "random" else [int(seed) for seed in given.split(",")]


def seconds(default: float) -> float:
    """How long the story of random kills takes: FAULT_SECONDS, where it is set."""
    return float(os.environ.get("FAULT_SECONDS") or default)


@pytest.fixture(scope="session")
def running() -> Iterator[Rig]:
    """The running service."""
    # Not pytest's own folder: whoever starts another pytest meanwhile closes that to Postgres' user.
    folder = Path(tempfile.mkdtemp(prefix="analytics-faults-"))
    rig = Rig(folder)
    try:
        rig.start()
        yield rig
    finally:
        rig.close()
        FIGURES.extend(rig.figures)
        if not os.environ.get("FAULT_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def rig(running: Rig) -> Iterator[Rig]:
    """The running service, its links and disks well again afterwards."""
    running.told.clear()
    with first():
        yield running
    running.heal()


def needs(what: str, *, lacking: str) -> None:
    """Skip a story at home where something is `lacking`; in CI fail it."""
    if lacking:
        if os.environ.get("CI"):
            pytest.fail(f"{what}: {lacking}")
        pytest.skip(f"{what}: {lacking}")
