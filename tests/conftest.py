"""What every test with a service shares. The environment is set before anything reads it."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

# A property is no benchmark: on a busy machine an example may take longer than hypothesis thinks right.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")

os.environ.update(
    ANALYTICS_ROLE="web",
    ANALYTICS_SECRET=secrets.token_hex(16),
    ANALYTICS_DATA_DIR=tempfile.mkdtemp(prefix="analytics-test-"),
)
os.environ.setdefault("ANALYTICS_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")

# At each start pytest takes everybody else's access to its folder away. As root, Postgres runs as a user of its own: a
# run in another checkout would end it. So each checkout has a folder to itself.
_folder = Path(tempfile.gettempdir()) / f"analytics-tests-{sha256(str(Path(__file__)).encode()).hexdigest()[:12]}"
_folder.mkdir(exist_ok=True)
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_folder))


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Postgres server: the one of ANALYTICS_TEST_DATABASE_URL, else one started for this run."""
    given = os.environ.get("ANALYTICS_TEST_DATABASE_URL")
    if given:
        yield given
        return
    from analytics_app.embedded.stack import services

    with services(tmp_path_factory.mktemp("postgres"), kafka=False) as endpoints:
        yield endpoints.database_url


@pytest.fixture(scope="session")
def database(server_url: str) -> Iterator[str]:
    """The address of a fresh, migrated database, which the service's settings name."""
    from analytics_app.db import database_url
    from analytics_app.migrate import upgrade
    from analytics_app.settings import settings

    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    url = database_url(server_url).set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    os.environ["ANALYTICS_DATABASE_URL"] = url
    settings.cache_clear()
    upgrade(url)
    yield url
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a service by the folder it stands in."""
    for item in items:
        if {"store", "web", "agents", "e2e"} & set(item.path.relative_to(Path(__file__).parent).parts[:1]):
            item.add_marker(pytest.mark.services)
