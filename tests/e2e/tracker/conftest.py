"""A website of our own, a collector at another origin, and chromium to go from one to the other."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.e2e.tracker.collector import Collector

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
# Playwright keeps pages out of the back/forward cache; what happens there is a part of this.
NOT_PLAYWRIGHTS = ["--disable-back-forward-cache"]
TALL = '<div style="height: 3000px">A long read</div>'


@dataclass
class Site:
    """A website that carries the tracker. Its pages are made by the tests."""

    collector: Collector
    url: str = ""
    pages: dict[str, web.Response] = field(default_factory=dict)

    def page(
        self, path: str = "/", body: str = "", head: str = "", status: int = 200, src: str = "", **data: str
    ) -> str:
        """Put a page there, with the tracker's attributes (`web_vitals="true"`), and return its address."""
        attributes = {"key": self.collector.key} | data
        shown = "".join(
            f' data-{name.replace("_", "-")}="{value}"' for name, value in attributes.items() if value != "-"
        )
        tag = f'<script defer{shown} src="{src or self.collector.url + "/js/analytics.js"}"></script>'
        self.pages[path] = web.Response(
            text=f"<!doctype html><html><head><title>Page {path}</title>{head}{tag}</head><body>{body}</body></html>",
            content_type="text/html",
            status=status,
        )
        return self.url + path

    async def serve(self, request: web.Request) -> web.Response:
        known = self.pages.get(request.path)
        if known is None:
            return web.Response(text="<!doctype html><title>Elsewhere</title>nothing", content_type="text/html")
        return web.Response(body=known.body, content_type="text/html", status=known.status)


async def listen(application: web.Application) -> tuple[web.AppRunner, str]:
    """Serve on a free port of this machine."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    where = web.TCPSite(runner, "127.0.0.1", 0)
    await where.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture(scope="session")
def built_tracker() -> None:
    """The minified tracker, as it is served."""
    subprocess.run([sys.executable, Path(__file__).parents[3] / "scripts" / "build_assets.py"], check=True)


@pytest.fixture(scope="session")
async def one_collector(built_tracker: None) -> AsyncIterator[Collector]:
    collector = Collector()
    runner, collector.url = await listen(collector.application())
    yield collector
    await runner.cleanup()


@pytest.fixture
def collector(one_collector: Collector) -> Collector:
    """What takes the tracker's requests: `.requests` are those so far, `.url` is its address."""
    one_collector.reset()
    return one_collector


@pytest.fixture
async def site(collector: Collector) -> AsyncIterator[Site]:
    site = Site(collector)
    application = web.Application()
    application.router.add_get("/{tail:.*}", site.serve)
    runner, site.url = await listen(application)
    yield site
    await runner.cleanup()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium; a machine without one skips these tests, unless it is there to run them."""
    if not CHROMIUM.exists():
        reason = f"no chromium at {CHROMIUM}; install it, or set CHROMIUM to its path"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, ignore_default_args=NOT_PLAYWRIGHTS
        )
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1000, "height": 600}, locale="en-GB")
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
