"""Trees of recorded nodes, rebuilt from what is known to be harmless. Pure.

Nothing is taken over that is not named here. A node that must not be keeps its place and its number, so that what is
recorded later still finds its neighbours; a script becomes an empty `noscript`, which is never shown.
"""

import re
from typing import Any

from analytics_app.replays.attributes import clean_attributes
from analytics_app.replays.css import clean_css
from analytics_app.replays.masking import mask_text

DOCUMENT, DOCTYPE, ELEMENT, TEXT, CDATA, COMMENT = range(6)
MOST_DEPTH = 200
"""What is nested deeper is left out: neither the player nor JSON's readers take any depth."""

_TAG = re.compile(r"[a-z][\w.:-]*\Z")
_DOCTYPE = re.compile(r"[\w./: -]*\Z")
_MODES = ("BackCompat", "CSS1Compat")
_FLAGS = ("isSVG", "isShadowHost", "isShadow", "isStyle", "needBlock", "isCustom")

Node = dict[str, Any]


def clean_tree(tree: Any, *, place_known: bool = True) -> Node | None:
    """The node and all below it, cleaned; None where it is no node.

    Where it will be put is not known of a node that is added later: a text may then belong to a style sheet.
    """
    roots: list[Node] = []
    waiting: list[tuple[Any, list[Node], bool, int]] = [(tree, roots, not place_known, 0)]
    while waiting:
        node, siblings, styles, depth = waiting.pop()
        if type(node) is not dict or type(node.get("id")) is not int:
            continue
        made = _cleaned(node, styles=styles)
        if made is None:
            continue
        siblings.append(made)
        below = made.get("childNodes")
        if below is not None and depth < MOST_DEPTH and made.get("tagName") != "noscript":
            children = node.get("childNodes")
            if type(children) is list:
                styling = made.get("tagName", "").endswith("style")
                waiting.extend((child, below, styling, depth + 1) for child in reversed(children))
    return roots[0] if roots else None


def _cleaned(node: Node, *, styles: bool) -> Node | None:
    """The node by itself, its children still to come."""
    made = _made(node, styles=styles)
    if made is None:
        return None
    for flag in _FLAGS:
        if node.get(flag) is True:
            made[flag] = True
    made["id"] = node["id"]
    if type(node.get("rootId")) is int:
        made["rootId"] = node["rootId"]
    return made


def _made(node: Node, *, styles: bool) -> Node | None:
    kind = node.get("type")
    if kind in (TEXT, CDATA):
        # A section of characters cannot stand in an HTML page: rebuilding one fails.
        return {"type": TEXT, "textContent": clean_characters(node.get("textContent"), styles=styles)}
    if kind == ELEMENT:
        return _element(node)
    if kind == COMMENT:
        return {"type": COMMENT, "textContent": ""}
    if kind == DOCUMENT:
        mode = node.get("compatMode")
        return {"type": DOCUMENT, "childNodes": [], **({"compatMode": mode} if mode in _MODES else {})}
    return _doctype(node) if kind == DOCTYPE else None


def _doctype(node: Node) -> Node:
    said = {name: node.get(name) for name in ("name", "publicId", "systemId")}
    plain = {
        name: value if type(value) is str and len(value) < 200 and _DOCTYPE.match(value) else ""
        for name, value in said.items()
    }
    return {"type": DOCTYPE, **plain, "name": plain["name"] if plain["name"].isalnum() else "html"}


def _element(node: Node) -> Node:
    tag = node.get("tagName")
    tag = tag.lower() if type(tag) is str else ""
    if not _TAG.match(tag):
        tag = "div"
    if tag.rpartition(":")[2] in ("script", "noscript"):
        return {"type": ELEMENT, "tagName": "noscript", "attributes": {}, "childNodes": []}
    given = node.get("attributes")
    attributes = clean_attributes(tag, given) if type(given) is dict else {}
    return {"type": ELEMENT, "tagName": tag, "attributes": attributes, "childNodes": []}


def clean_characters(text: Any, *, styles: bool) -> str:
    """The text of a node, masked; cleared of what loads, where it is or may be a style sheet."""
    if type(text) is not str:
        return ""
    if not styles:
        return mask_text(text)
    css = clean_css(text)
    return css if "{" in css and "url(" in css else mask_text(css)  # what a font's bytes spell is no secret
