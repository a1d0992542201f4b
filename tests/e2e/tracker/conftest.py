"""A website of our own, and a collector at another origin."""

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from tests.e2e.conftest import listen
from tests.e2e.tracker.collector import Collector

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
