"""The page on which recordings are watched. It holds no data: what it shows it asks for with its reader's token."""

import faust
from aiohttp.web import Request, Response

from analytics_app.errors import NotFound
from web import assets
from web.resource import Resource

blueprint = faust.web.Blueprint("replay_pages")

# A recording's frame inherits it: nothing is loaded from anywhere, whatever a recording says. Its styles stand in the
# page, its pictures and fonts carry their own bytes.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; font-src data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES = {
    "player.js": "built/player.js",
    "player.css": "replays/player.css",
    "rrweb.css": "built/rrweb.css",
}


@blueprint.route("/replays", name="page")
class ReplayPage(Resource):
    """Session replays."""

    public = True

    async def get(self, request: Request) -> Response:
        """The page."""
        headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
        return assets.send(request, assets.asset("replays/index.html"), max_age_s=0, headers=headers)


@blueprint.route("/replays/{name}", name="file")
class ReplayFile(Resource):
    """What the page loads."""

    public = True

    async def get(self, request: Request, name: str) -> Response:
        """A script or a style sheet."""
        if name not in FILES:
            raise NotFound
        return assets.send(request, assets.asset(FILES[name]), max_age_s=300)
