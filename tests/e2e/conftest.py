"""One real service for the whole run, a browser, and what the tests do with both."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, web
from aiokafka import AIOKafkaConsumer, TopicPartition
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.e2e.service import Service
from tests.web.calls import Caller

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A browser that a program drives says so to every page, and is taken for the bot that it is; these tests' are people.
NOT_DRIVEN = "--disable-blink-features=AutomationControlled"
# Playwright keeps pages out of the back/forward cache; what happens there is a part of this.
NOT_PLAYWRIGHTS = ["--disable-back-forward-cache"]
# A headless browser says so, and is taken for the bot that it is.
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"

TOKEN = secrets.token_urlsafe(24)
HITS = "analytics-hits"


# --- The service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running `analytics up`; at the end of the run it must stop cleanly, and its log tell of no crash."""
    folder = tmp_path_factory.mktemp("service") / "data"
    settings = {"ANALYTICS_BOOTSTRAP_TOKEN": TOKEN, "ANALYTICS_TRACKING_RATE_LIMIT": "off"}
    with Service(folder, **settings) as service:
        yield service
        assert service.stop() == 0, service.text()
        assert "Traceback" not in service.text(), service.text()


@pytest.fixture(scope="session")
async def http(service: Service) -> AsyncIterator[ClientSession]:
    """A client of the service."""
    async with client_of(service.address) as client:
        yield client


def client_of(address: str) -> ClientSession:
    """A client of one web process."""
    return ClientSession(
        address, timeout=ClientTimeout(total=15), headers={"User-Agent": DESKTOP}, cookie_jar=DummyCookieJar()
    )


@pytest.fixture(scope="session")
def admin(http: ClientSession) -> Caller:
    """An admin of the workspace `default`."""
    return Caller(http, TOKEN)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def nobody(http: ClientSession) -> Caller:
    """Somebody without a token."""
    return Caller(http, None)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
async def token_of(admin: Caller, service: Service) -> Callable[..., Awaitable[Caller]]:
    """Make a caller with a fresh token: `await token_of("write", website_ids=[1])`, or of another workspace."""

    async def make(scope: str, workspace: str | None = None, **values: Any) -> Caller:
        if workspace is None:
            made = await admin.post("/analytics/tokens", json={"name": f"test {scope}", "scopes": [scope], **values})
            assert made.status == 201, await made.text()
            return Caller(admin.client, (await made.json())["data"]["token"])
        service.command("workspaces", "create", workspace)
        done = await asyncio.to_thread(
            service.command, "tokens", "create", "test", "--workspace", workspace, "--scope", scope
        )
        assert done.returncode == 0, done.stderr
        return Caller(admin.client, done.stdout.split()[0])

    return make


@pytest.fixture
async def website(admin: Caller) -> dict[str, Any]:
    """A website of this test's own."""
    return await admin.new_website()


@pytest.fixture(scope="session")
async def settled(service: Service) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Returns when all that Kafka holds is stored."""
    consumer = AIOKafkaConsumer(bootstrap_servers=service.noted("kafka_bootstrap"), enable_auto_commit=False)
    await consumer.start()
    partitions = [TopicPartition(HITS, number) for number in range(4)]

    async def settle(within_s: float = 30) -> None:
        until = time.monotonic() + within_s
        ends = {tp.partition: end for tp, end in (await consumer.end_offsets(partitions)).items()}
        while True:
            rows = service.sql("SELECT partition, next_offset FROM stream_positions WHERE topic = %s", HITS)
            positions = {row["partition"]: row["next_offset"] for row in rows}
            if all(positions.get(partition, 0) >= end for partition, end in ends.items()):
                return
            assert time.monotonic() < until, f"not stored in time: {positions} of {ends}"
            await asyncio.sleep(0.05)

    yield settle
    await consumer.stop()


# --- The browser


async def listen(application: web.Application) -> tuple[web.AppRunner, str]:
    """Serve on a free port of this machine."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    where = web.TCPSite(runner, "127.0.0.1", 0)
    await where.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium; a machine without one skips these tests, unless it is there to run them."""
    if not CHROMIUM.exists():
        reason = f"no chromium at {CHROMIUM}; install it, or set CHROMIUM to its path"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            # A beacon of a page that ends does not bear the user agent of the page's context.
            args=[*FLAGS, NOT_DRIVEN, f"--user-agent={DESKTOP}"],
            ignore_default_args=NOT_PLAYWRIGHTS,
        )
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1000, "height": 600}, locale="en-GB", user_agent=DESKTOP)
    context.set_default_timeout(8000)
    yield context
    await context.close()


@pytest.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A tab; an error that nothing on its page caught fails the test."""
    page, errors = await context.new_page(), []
    page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 - playwright marks what it is given
    yield page
    assert not errors
