"""Attributes of recorded elements, without what would run, load or lead anywhere. Pure."""

import re
from html import unescape
from typing import Any

from analytics_app.intake.scrubbing import scrub_url
from analytics_app.replays.css import SAFE_DATA, clean_css
from analytics_app.replays.masking import mask_text

Value = str | int | float | bool | None | dict[str, Any]

MOST_NAME = 200


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


PLAIN = _words(
    "class id role type for dir lang rel media width height colspan rowspan tabindex viewbox d x y x1 x2 y1 y2 r rx ry",
    "cx cy points transform version disabled checked selected multiple readonly required hidden open dy dx offset",
    "preserveaspectratio xmlns fill-rule clip-rule stroke-width stroke-linecap stroke-linejoin autocomplete charset",
    "fill-opacity stroke-opacity size rows cols align valign border cellpadding cellspacing draggable",
)
"""What says nothing about anybody, and of which no value does anything."""

# What a browser runs, loads from, sends to or navigates by, whatever the element; `href`, `src` and `style` see below.
GONE = _words(
    "srcdoc srcset imagesrcset ping action formaction data codebase classid archive manifest background cite longdesc",
    "profile lowsrc dynsrc http-equiv nonce integrity attributionsrc rr_src formtarget target download usemap object",
    "sharedstoragewritable browsingtopics sandbox allow csp credentialless is xml:base __proto__",
)
HREF = _words("href xlink:href")
SOURCE = _words("src poster rr_dataurl icon")
PICTURES = _words("img input image video")
RUNS_IF_SET = _words("href src style srcdoc data")
# What the player takes as instructions rather than as attributes.
SPECIAL = _words(
    "rr_width rr_height rr_scrollleft rr_scrolltop rr_mediastate rr_mediacurrenttime rr_mediaplaybackrate",
    "rr_mediamuted rr_medialoop rr_mediavolume rr_open_mode",
)
_NAME = re.compile(r"[^\s\"'<>/=\x00-\x20]+")
_SPECIAL = re.compile(r"[\w.%-]{0,40}")
_BLANK = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028\u2029\ufeff]+")
_RUNS = re.compile(
    r"(?:^|;)(?:java|vb|live)script:|(?:^|;)data:(?!image/)|(?:^|;)(?:view-source|blob|filesystem|file):"
)
_FRAGMENT = re.compile(r"#[\w:.-]*")
_RASTER = re.compile(r"data:image/(?:png|gif|jpe?g|webp|avif|bmp|x-icon|vnd\.microsoft\.icon)[;,]", re.IGNORECASE)


def clean_attributes(tag: str, given: dict[str, Any]) -> dict[str, Value]:
    """The attributes of an element that may stay; `tag` is empty where it is not known, as when one is changed."""
    kept: dict[str, Value] = {}
    secret = tag == "input" and str(given.get("type", "")).strip().lower() in ("password", "hidden")
    for name, value in given.items():
        lower = name.lower()
        if lower in PLAIN:
            if type(value) is str or value is None or type(value) in (int, bool, float):
                kept[name] = value
            continue
        if lower in GONE or lower[:2] == "on" or len(name) > MOST_NAME or not _NAME.fullmatch(name):
            continue
        if secret and lower == "value":
            kept[name] = "*" * len(value) if type(value) is str and value else ""
        elif tag in ("meta", "") and lower == "content" and str(given.get("name", "")).lower() != "viewport":
            continue  # tokens against forgery are kept there, and nothing of it shows
        elif (cleaned := _clean(tag, lower, value)) is not _DROPPED:
            kept[name] = cleaned
    return kept


_DROPPED: Any = object()


def _clean(tag: str, name: str, value: Any) -> Any:
    if name in ("style", "_csstext"):
        return _clean_style(value)
    if name.startswith("rr_") and name not in SOURCE:
        harmless = type(value) in (int, float, bool) or (type(value) is str and _SPECIAL.fullmatch(value))
        return value if name in SPECIAL and harmless else _DROPPED
    if type(value) is not str:
        return value if value is None or type(value) in (bool, int, float) else _DROPPED
    if name in HREF or name in SOURCE:
        return (_clean_link if name in HREF else _clean_source)(tag, value.strip())
    if name == "attributename" and value.strip().lower().rpartition(":")[2] in RUNS_IF_SET:
        return _DROPPED
    return _clean_text(value)


def _clean_source(tag: str, address: str) -> Any:
    """A picture that carries its own bytes; a drawing only where it is known to become a picture, not a document."""
    is_picture = _RASTER.match(address) or (tag in PICTURES and address[:10].lower() == "data:image")
    return address if is_picture and SAFE_DATA.fullmatch(address) else _DROPPED


def _clean_text(value: str) -> Any:
    if (":" in value or "&" in value) and _RUNS.search(_BLANK.sub("", unescape(value)).lower()):
        return _DROPPED
    if "(" in value or "\\" in value:
        value = clean_css(value)
    if "://" in value or "?" in value:
        value = scrub_url(value)
    return mask_text(value)


def _clean_link(tag: str, address: str) -> Any:
    if tag in ("a", "area"):
        return "#"  # a link looks like one, and leads nowhere
    if tag not in ("link", "base") and _FRAGMENT.fullmatch(address):
        return address
    return address if tag == "image" and SAFE_DATA.fullmatch(address) and _RASTER.match(address) else _DROPPED


def _clean_style(value: Any) -> Any:
    """A style as text, or, where one is changed, by property: a value, a value with its priority, or false."""
    if type(value) is str:
        return clean_css(value)
    if value is None:
        return None
    if type(value) is not dict:
        return _DROPPED
    return {name: clean_declared(one) for name, one in value.items() if _NAME.fullmatch(name)}


def clean_declared(value: Any) -> Any:
    """A declared value, alone or with its priority; false, which removes it, for anything else."""
    if type(value) is str:
        return clean_css(value)
    if type(value) is list and len(value) == 2 and type(value[0]) is str:
        return [clean_css(value[0]), "important" if value[1] == "important" else ""]
    return False
