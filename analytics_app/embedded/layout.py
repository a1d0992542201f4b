"""Where things lie in the data folder, and files that are replaced whole or not at all."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The data folder of one installation."""

    root: Path

    @property
    def kafka(self) -> Path:
        """Kafka's log and settings."""
        return self.root / "kafka"

    @property
    def postgres(self) -> Path:
        """Postgres' cluster (PGDATA)."""
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        """What Kafka and Postgres write about themselves."""
        return self.root / "logs"

    @property
    def lock_file(self) -> Path:
        """Locked while an `analytics up` runs on this folder."""
        return self.root / "up.lock"

    @property
    def run_file(self) -> Path:
        """The running processes, kept current by the supervisor."""
        return self.root / "run.json"

    @property
    def endpoints_file(self) -> Path:
        """Ports and passwords of the embedded servers, kept over restarts."""
        return self.root / "endpoints.json"

    def tables(self, name: str) -> Path:
        """The Faust tables of one process, `worker-1`. Deleting it is a safe repair."""
        return self.root / "tables" / name

    def make(self) -> None:
        """Make the folders; all but the first are closed to other users.

        The first one can be passed through (not listed), because Postgres runs as its own user where we are root.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o711)
        for folder in (self.kafka, self.logs, self.root / "tables"):
            folder.mkdir(exist_ok=True, mode=0o700)


def write_private(path: Path, content: str) -> None:
    """Write `content` to `path`, readable by its owner only; readers see the old file or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
