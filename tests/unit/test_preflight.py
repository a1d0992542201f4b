"""A process that is started before its servers are there waits for them; one that cannot be helped says so."""

import psycopg
import pytest
import structlog
from aiokafka.errors import KafkaConnectionError

from analytics_app import preflight
from analytics_app.settings import Settings

AWAY = Settings(kafka_bootstrap_servers="kafka.example:9092", database_url="postgresql://me:hidden@db.example/shop")


async def at_once(_seconds):
    pass


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    monkeypatch.setattr(preflight, "settings", lambda: AWAY)


def answering(monkeypatch, *errors):
    left = list(errors)

    async def check():
        if left:
            raise left.pop(0)

    monkeypatch.setattr(preflight, "check", check)


async def test_it_tries_again_until_kafka_and_postgres_answer_and_says_which_does_not(monkeypatch):
    answering(monkeypatch, KafkaConnectionError("no broker"), psycopg.OperationalError("connection refused\nIs it up?"))
    with structlog.testing.capture_logs() as said:
        assert await preflight.wait(at_once, lambda: False)
    assert [(line["server"], line["error"], line["again_in_s"]) for line in said] == [
        ("Kafka at kafka.example:9092", "KafkaConnectionError: no broker", 0.5),
        ("Postgres at db.example:5432", "connection refused", 1.0),
    ]


async def test_its_pauses_grow_to_five_seconds(monkeypatch):
    answering(monkeypatch, *[psycopg.OperationalError("connection refused")] * 7)
    with structlog.testing.capture_logs() as said:
        assert await preflight.wait(at_once, lambda: False)
    assert [line["again_in_s"] for line in said] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


async def test_it_ends_when_it_is_to_stop(monkeypatch):
    answering(monkeypatch, *[psycopg.OperationalError("connection refused")] * 100)
    asked = iter([False, False, True])
    assert not await preflight.wait(at_once, lambda: next(asked))


@pytest.mark.parametrize("error", [preflight.NotPrepared("topics are missing"), ValueError("a bug")])
async def test_what_waiting_does_not_mend_is_raised(monkeypatch, error):
    answering(monkeypatch, error)
    with pytest.raises(type(error)):
        await preflight.wait(at_once, lambda: False)
