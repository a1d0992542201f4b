"""What a link's query says about the campaign that brought the visitor."""

from typing import NamedTuple
from urllib.parse import unquote_plus

from analytics_app.intake.scrubbing import scrub_url
from analytics_app.intake.text import clean_text

MAX_VALUE = 200
_MAX_QUERY = 4000
_MAX_PARAMETERS = 100

CLICK_IDS = (
    *("gclid", "gbraid", "wbraid", "dclid", "msclkid", "yclid", "ymclid", "fbclid", "igshid", "igsh", "ttclid"),
    *("twclid", "li_fat_id", "rdt_cid", "epik", "sccid", "mc_eid", "_hsenc"),
)
"""Parameters that advertising and mail services add to links. Their values name a person's click and are not kept."""

_FIELDS = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
}
_OTHER_SOURCES = ("source", "ref")
_EXTRA_PARAMETERS = frozenset((*_FIELDS, *CLICK_IDS, "utm_id", "gad_source", "gad_campaignid", "srsltid", "_gl"))
_WANTED = frozenset((*_FIELDS, *CLICK_IDS, *_OTHER_SOURCES))


class Campaign(NamedTuple):
    """A campaign as its links name it; empty where they do not. `click_id` is the name of the parameter, no value."""

    source: str = ""
    medium: str = ""
    name: str = ""
    term: str = ""
    content: str = ""
    click_id: str = ""


NONE = Campaign()


def campaign_of(
    url: str = "", *, source: str = "", medium: str = "", name: str = "", term: str = "", content: str = ""
) -> Campaign:
    """The campaign that a hit names: what was sent in fields of its own, else what the query of `url` says.

    Beside `utm_source`, `source` and `ref` are taken for the source. Never raises.
    """
    found = _parameters(url) if "?" in url else {}
    if not (found or source or medium or name or term or content):
        return NONE
    ref = next((found[other] for other in _OTHER_SOURCES if found.get(other)), "")
    return Campaign(
        _clean(source or found.get("utm_source", "") or ref),
        _clean(medium or found.get("utm_medium", "")),
        _clean(name or found.get("utm_campaign", "")),
        _clean(term or found.get("utm_term", "")),
        _clean(content or found.get("utm_content", "")),
        next((click for click in CLICK_IDS if found.get(click)), ""),
    )


def without_campaign(path: str) -> str:
    """`path` without the parameters that only tell where its visitor came from: one page is one page."""
    page, mark, query = path.partition("?")
    if not mark:
        return path
    query, sharp, fragment = query.partition("#")
    kept = [part for part in query.split("&") if part.partition("=")[0].lower() not in _EXTRA_PARAMETERS]
    return f"{page}{'?' * any(kept)}{'&'.join(kept)}{sharp}{fragment}"


def _parameters(url: str) -> dict[str, str]:
    query = url.partition("?")[2].partition("#")[0][:_MAX_QUERY]
    found: dict[str, str] = {}
    for part in query.split("&", _MAX_PARAMETERS)[:_MAX_PARAMETERS]:
        name, _, value = part.partition("=")
        name = name.lower()
        if name in _WANTED and value:
            found.setdefault(name, unquote_plus(value))
    return found


def _clean(value: str) -> str:
    return scrub_url(clean_text(value, MAX_VALUE)) if value else ""
