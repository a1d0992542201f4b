"""Who may call from a browser: public endpoints any page, without credentials; all others none."""

from collections.abc import Iterable

from aiohttp.web import Response

ANY_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "X-Analytics, X-Request-Id, Retry-After, "
    "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset",
    # A page of a strict origin may embed the pixel and the tracker.
    "Cross-Origin-Resource-Policy": "cross-origin",
}
PREFLIGHT_KEPT_S = 86_400


def preflight(methods: Iterable[str]) -> Response:
    """204: what a page of any origin may send. `Authorization` is for server-side senders, which send no preflight.

    A page on the internet that reports to a service in a private network asks by `Access-Control-Request-Private-
    Network`; it is not granted: a public page has no business with an installation that only a private network sees.
    """
    return Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": ", ".join(sorted(set(methods) - {"HEAD"})),
            "Access-Control-Allow-Headers": "Content-Type, Content-Encoding",
            "Access-Control-Max-Age": str(PREFLIGHT_KEPT_S),
        },
    )
