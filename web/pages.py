"""What browsers load: the tracker, the demo page, the rendered reference."""

from functools import lru_cache
from html import escape

import faust
from aiohttp.web import Request, Response

from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import NotFound
from analytics_app.settings import settings
from web import assets, auth
from web.resource import Resource, operation

scripts = faust.web.Blueprint("scripts")
docs = faust.web.Blueprint("docs")
heatmaps = faust.web.Blueprint("heatmaps_page")
demo = faust.web.Blueprint("demo")

SCRIPTS = ("analytics.js", "experiments.js", "heatmap.js", "replay.js")
"""What visitors' browsers may load: the tracker, and the scripts that it loads when they are wanted."""
SCRIPT_KEPT_S = 3600
"""How long a browser keeps a script before it asks again: a new version is everywhere within an hour."""

# RapiDoc writes its styles into the page, and paints its icons from data: URLs.
DOCS_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The page that is mapped may be shown behind its heatmap: in a sandbox, where no script of it runs; or a picture of it
# that the reader picks from the own disk.
HEATMAPS_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; frame-src http: https:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
DEMO_PAGES = ("", "pricing", "journal")


@scripts.route("/js/{name}", name="script")
class Script(Resource):
    """The tracker, and what it loads."""

    public = True
    tag = "Tracking"

    @operation(answer={"type": "string"}, content_types=("text/javascript",))
    async def get(self, request: Request, name: str) -> Response:
        """A script for pages: `analytics.js` is the tracker. Its settings come from its tag's `data-*`, the key also
        from `?key=`.
        """
        if name not in SCRIPTS:
            raise NotFound
        return assets.send(request, assets.asset(f"built/{name}"), max_age_s=SCRIPT_KEPT_S)


@docs.route("/docs", name="page")
class Docs(Resource):
    """The reference, rendered."""

    public = True

    async def get(self, request: Request) -> Response:
        """The page."""
        headers = {"Content-Security-Policy": DOCS_POLICY}
        return assets.send(request, assets.asset("docs/index.html"), max_age_s=0, headers=headers)


@docs.route("/docs/{name}", name="file")
class DocsFile(Resource):
    """What the reference's page loads."""

    public = True

    async def get(self, request: Request, name: str) -> Response:
        """A script or a style sheet."""
        files = {"docs.js": "docs/docs.js", "docs.css": "docs/docs.css", "rapidoc.js": "built/rapidoc.js"}
        if name not in files:
            raise NotFound
        return assets.send(request, assets.asset(files[name]), max_age_s=300)


@heatmaps.route("/heatmaps/view", name="page")
class HeatmapsPage(Resource):
    """Heatmaps, drawn."""

    public = True

    async def get(self, request: Request) -> Response:
        """The page; what it shows it asks for with the token that its reader gives it."""
        headers = {"Content-Security-Policy": HEATMAPS_POLICY}
        return assets.send(request, assets.asset("heatmaps/index.html"), max_age_s=0, headers=headers)


@heatmaps.route("/heatmaps/view/{name}", name="file")
class HeatmapsFile(Resource):
    """What the heatmaps' page loads."""

    public = True

    async def get(self, request: Request, name: str) -> Response:
        """A script or a style sheet."""
        files = {
            "heatmaps.js": "heatmaps/heatmaps.js",
            "heatmaps.css": "heatmaps/heatmaps.css",
            "simpleheat.js": "built/simpleheat.js",
        }
        if name not in files:
            raise NotFound
        return assets.send(request, assets.asset(files[name]), max_age_s=300)


class DemoResource(Resource):
    """A page for browsers on this machine only: it shows a key that counts."""

    public = True

    def check(self, request: Request) -> None:
        """Raises `NotFound` where the demo is off, or the request comes from elsewhere."""
        if not settings().demo or not auth.is_local(request):
            raise NotFound("There is nothing at this path")

    def page(self, request: Request) -> Response:  # type: ignore[override]
        """The demo, carrying the first website's key."""
        shown = DEFINITIONS.snapshot
        taking = {id_ for id_, site in shown.websites.items() if site.is_enabled and site.tracking_enabled}
        current = [held for held in shown.keys.values() if held.expires_at is None and held.website_id in taking]
        if not current:
            raise NotFound("There is no website to show")
        key = min(current, key=lambda held: held.website_id).key
        origin = settings().public_url.rstrip("/") or f"{request.scheme}://{request.host}"
        page = _demo_page(key, origin)
        return assets.send(request, page, max_age_s=0)


@demo.route("/demo", name="home")
class Demo(DemoResource):
    """The demo's first page."""

    async def get(self, request: Request) -> Response:
        """The page."""
        self.check(request)
        return self.page(request)


@demo.route("/demo/{name}", name="file")
class DemoFile(DemoResource):
    """The demo's further pages, which its script fills, and what they load."""

    async def get(self, request: Request, name: str) -> Response:
        """A page, a script or a style sheet."""
        self.check(request)
        if name in DEMO_PAGES:
            return self.page(request)
        if name not in ("demo.js", "demo.css"):
            raise NotFound("There is nothing at this path")
        return assets.send(request, assets.asset(f"demo/{name}"), max_age_s=0)


@lru_cache(maxsize=8)
def _demo_page(key: str, origin: str) -> assets.Asset:
    page = assets.asset("demo/index.html")
    text = page.body.decode().replace("{{key}}", key).replace("{{origin}}", escape(origin))
    return assets.asset_of(text.encode(), page.content_type)
