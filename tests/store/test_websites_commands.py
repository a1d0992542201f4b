"""`analytics tokens|websites|workspaces …`, and what the first start makes."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest


@pytest.fixture
def empty(database):
    """A database without workspaces, as before the first start."""
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("TRUNCATE workspaces CASCADE")


@pytest.fixture(scope="module")
def started(database):
    """A database after the first start."""
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("INSERT INTO workspaces (name) VALUES ('default') ON CONFLICT DO NOTHING")


def analytics(*words: str, expect: int = 0) -> str:
    """What the command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "analytics_app", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


async def first_start():
    from analytics_app import bootstrap

    return await bootstrap.first_website_and_token()


async def good(token: str):
    from analytics_app.db import transaction
    from analytics_app.websites import definitions_store
    from analytics_app.websites.logic import token_hash

    async with transaction() as db:
        return list((await definitions_store.tokens(db, hash_=token_hash(token))).values())


async def test_the_first_start_makes_one_website_and_one_token_even_if_begun_by_many(empty):
    made = await asyncio.gather(*(first_start() for _ in range(6)))
    tokens = [one.token for one in made if one.token]
    assert len(tokens) == 1
    assert len({(one.website_id, one.pixel_key) for one in made}) == 1
    (token,) = await good(tokens[0])
    assert (token.scopes, token.website_ids) == ({"admin"}, None)
    again = await first_start()
    assert (again.token, again.website_id) == (None, made[0].website_id)


async def test_a_token_of_ones_own_is_taken_at_the_first_start_and_at_later_ones(empty, monkeypatch):
    from analytics_app import bootstrap
    from analytics_app.settings import settings

    for token in ("a-token-of-my-own", "another-token-of-my-own"):
        monkeypatch.setenv("ANALYTICS_BOOTSTRAP_TOKEN", token)
        settings.cache_clear()
        for _ in range(2):
            assert (await first_start()).token is None
            await bootstrap.accept_given_token()
        assert len(await good(token)) == 1
    assert len(await good("a-token-of-my-own")) == 1
    monkeypatch.delenv("ANALYTICS_BOOTSTRAP_TOKEN")
    settings.cache_clear()
    assert (await first_start()).token is None


def test_the_command_line_makes_lists_and_revokes_tokens(empty):
    analytics("workspaces", "create", "acme")
    assert "already" in analytics("workspaces", "create", "acme", expect=1)
    shown = analytics("websites", "create", "Shop", "Shop.example:443", "--workspace", "acme")
    assert "pixel key" in shown
    assert '<script defer data-key="' in shown
    website_id = shown.split(",")[0].removeprefix("website ")
    assert "shop.example:443" in analytics("websites", "list", "--workspace", "acme")
    made = analytics(
        "tokens", "create", "Export", "--scope", "read", "--website", website_id, "--workspace", "acme",
        "--expires", "2099-01-01T00:00:00Z",
    ).strip()  # fmt: skip
    assert made.startswith("an_")
    listed = analytics("tokens", "list", "--workspace", "acme")
    assert "Export" in listed
    assert "2099-01-01T00:00:00Z" in listed
    assert made not in listed
    (token,) = asyncio.run(good_alone(made))
    assert token.website_ids == {int(website_id)}
    analytics("tokens", "revoke", str(token.id), "--workspace", "acme")
    assert asyncio.run(good_alone(made)) == []
    assert "acme" in analytics("workspaces", "list")


async def good_alone(token: str):
    from analytics_app.db import dispose

    try:
        return await good(token)
    finally:
        await dispose()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tokens", "create", "x", "--workspace", "none"], "no workspace none"),
        (["tokens", "create", "x", "--scope", "owner"], "scopes"),
        (["tokens", "create", "x", "--expires", "soon"], "expires_at"),
        (["tokens", "create", "x", "--expires", "2020-01-01T00:00:00Z"], "expired already"),
        (["tokens", "create", "x", "--website", "4711"], "no such website"),
        (["tokens", "revoke", "4711"], "no token 4711"),
        (["websites", "create", "x", "https://x"], "host"),
        (["websites", "create", "x", "x.example", "--timezone", "Moon"], "timezone"),
        (["workspaces", "create", " "], "needs a name"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_and_ends_with_1(started, words, says):
    assert says in analytics(*words, expect=1)


def test_a_wrong_option_ends_with_2(started):
    analytics("tokens", "revoke", "x", expect=2)
