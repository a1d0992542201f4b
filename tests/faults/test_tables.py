"""The folders of a worker's tables: deleted, old, cut short, full of rubbish; they are copies, and change nothing."""

import asyncio
import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.faults.rig import Rig
from tests.faults.story import under_load


def kill_workers(rig: Rig) -> None:
    for pid in rig.pids("worker"):
        rig.note(f"SIGKILL to worker {pid}, whose tables are changed")
        os.kill(pid, signal.SIGKILL)


async def test_tables_that_are_deleted_or_old_change_nothing(rig: Rig) -> None:
    async with under_load(rig, "tables deleted and old", 4, visitors=60, after_s=10):
        tables = rig.data_dir / "tables"
        kept = rig.folder / "tables-of-before"
        shutil.rmtree(kept, ignore_errors=True)
        await asyncio.to_thread(shutil.copytree, tables / "worker-1", kept, ignore=shutil.ignore_patterns("LOCK"))
        await asyncio.sleep(6)  # copies reach their table within seconds; these are behind now
        kill_workers(rig)
        for name in ("worker-1", "worker-2"):
            await asyncio.to_thread(shutil.rmtree, tables / name, ignore_errors=True)
        await asyncio.to_thread(shutil.copytree, kept, tables / "worker-1", dirs_exist_ok=True)


def truncate(file: Path, chance: random.Random) -> None:
    os.truncate(file, int(file.stat().st_size * chance.random()))


def overwrite(file: Path, chance: random.Random) -> None:
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(int(size * chance.random()))
        opened.write(chance.randbytes(min(4096, max(1, size))))


@pytest.mark.long
@pytest.mark.parametrize("harm", [truncate, overwrite, lambda file, _: file.unlink()], ids=["cut", "garbled", "gone"])
async def test_tables_with_harmed_files_change_nothing(rig: Rig, harm, seed: int) -> None:
    chance = random.Random(seed)
    async with under_load(rig, "tables harmed", seed, visitors=60, after_s=15):
        await asyncio.sleep(5)
        kill_workers(rig)
        files = sorted(file for file in (rig.data_dir / "tables").rglob("*") if file.is_file() and file.name != "LOCK")
        assert len(files) > 10
        for file in chance.sample(files, len(files) // 2):
            harm(file, chance)
