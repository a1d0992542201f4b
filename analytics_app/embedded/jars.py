"""Kafka's jars: fetched once for each user of the machine, checked against a list, then used without a network."""

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import platformdirs

from analytics_app.embedded.errors import StartFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST = Path(__file__).with_name("kafka-jars.json")
AT_ONCE = 6
TRIES = 4

# Told of each piece that has come: how many bytes.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Jar:
    """One jar of the list; `jar` is its Maven coordinate, `group:artifact:version`."""

    jar: str
    bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name that Maven gives its file."""
        _, artifact, version = self.jar.split(":")
        return f"{artifact}-{version}.jar"


def wanted() -> list[Jar]:
    """The jars that make up Kafka, in the order of the class path."""
    return [Jar(**entry) for entry in json.loads(LIST.read_text(encoding="utf-8"))["jars"]]


def version() -> str:
    """Kafka's version."""
    return str(json.loads(LIST.read_text(encoding="utf-8"))["kafka"])


def folder() -> Path:
    """Where the jars are kept, for all data folders of this user."""
    return Path(platformdirs.user_cache_dir("analytics")) / f"kafka-{version()}"


def missing(kept: Path | None = None) -> list[Jar]:
    """The jars that are not there in their full length."""
    kept = kept or folder()
    return [jar for jar in wanted() if not _has_length(kept / jar.file_name, jar.bytes)]


def class_path(kept: Path | None = None) -> str:
    """The class path of Kafka, once nothing is missing."""
    kept = kept or folder()
    return ":".join(str(kept / jar.file_name) for jar in wanted())


def fetch(jars: list[Jar], progress: Progress, kept: Path | None = None) -> None:
    """Fetch `jars` from Maven Central (or where jgo's settings say), checking each before it counts.

    `progress` may raise InterruptedError to end it. Raises StartFailed where one cannot be had, or is another file.
    """
    kept = kept or folder()
    incoming = kept / f"incoming-{uuid4().hex}"
    incoming.mkdir(parents=True)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(lambda jar: _fetch_one(jar, incoming, kept, progress), jars):
                pass
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _fetch_one(jar: Jar, incoming: Path, kept: Path, progress: Progress) -> None:
    for attempt in range(TRIES):
        seen = 0

        def count(amount: int) -> None:
            nonlocal seen
            seen += amount
            progress(amount)

        try:
            file = _download(jar, incoming / f"{jar.file_name}-{attempt}", count)
            if _sha256(file) == jar.sha256:
                file.replace(kept / jar.file_name)
                return
            problem = "what came is not what is expected (its SHA-256 differs)"
        except InterruptedError:  # raised by `progress` of one who no longer waits
            raise
        except Exception as error:  # noqa: BLE001 - jgo raises RuntimeError, and requests many kinds
            problem = str(error)
        progress(-seen)
    raise StartFailed(
        f"Kafka's library {jar.jar} could not be fetched from Maven Central: {problem}. "
        "It is needed once: check the network (HTTPS_PROXY is honoured, repositories of ~/.config/jgo.conf too), "
        "or use a Kafka of your own with ANALYTICS_KAFKA_BOOTSTRAP_SERVERS"
    )


def _download(jar: Jar, repository: Path, count: Progress) -> Path:
    # Imported here: only the first start of a user needs it.
    from jgo.config import GlobalSettings  # noqa: PLC0415 - loaded when it is needed
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - loaded when it is needed
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - loaded when it is needed

    @contextmanager
    def counted(_name: str, _size: int) -> "Iterator[Progress]":
        yield count

    callback: Callable[[str, int], AbstractContextManager[Progress]] = counted
    group, artifact, wanted_version = jar.jar.split(":")
    maven: Any = MavenContext(
        resolver=PythonResolver(progress_callback=callback),
        repo_cache=repository,
        remote_repos={**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL},
        timeout=30,
    )
    return Path(maven.project(group, artifact).at_version(wanted_version).artifact().resolve())


def _has_length(path: Path, length: int) -> bool:
    try:
        return path.stat().st_size == length
    except FileNotFoundError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
