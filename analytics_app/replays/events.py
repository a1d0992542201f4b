"""Recorded events, rebuilt from what rrweb 2 records and its player may be given. Pure.

`clean_events` is the one gate: everything that is stored has passed it, and what was stored under an older `VERSION`
passes it again on its way out.
"""

import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from analytics_app.replays.attributes import clean_attributes, clean_declared
from analytics_app.replays.css import clean_css
from analytics_app.replays.masking import mask_address, mask_text
from analytics_app.replays.nodes import clean_characters, clean_tree

VERSION = 1
"""Raised whenever something more is taken out."""

Event = dict[str, Any]
Data = dict[str, Any]


class Kind(IntEnum):
    """rrweb's types of events; its plugins' (6) are not taken."""

    LOADED_CONTENT = 0
    LOADED = 1
    SNAPSHOT = 2
    CHANGE = 3
    META = 4
    CUSTOM = 5


class Source(IntEnum):
    """What a change tells of. Canvas (9) needs scripts in the player's frame; consoles (11) are private."""

    MUTATION = 0
    MOUSE_MOVE = 1
    MOUSE = 2
    SCROLL = 3
    RESIZE = 4
    INPUT = 5
    TOUCH_MOVE = 6
    MEDIA = 7
    RULE = 8
    FONT = 10
    DRAG = 12
    DECLARATION = 13
    SELECTION = 14
    ADOPTED = 15


MOST_CUSTOM_DEPTH = 6
_PROPERTY = re.compile(r"[\w-]{1,100}\Z")
_NUMBERS = (int, float, bool, type(None))


def clean_events(events: list[Any]) -> list[Event]:
    """The events that may be kept, in their order: what is none, or of no known kind, is left out. Never raises.

    Cleaning twice changes nothing.
    """
    kept = []
    for event in events:
        if type(event) is not dict or type(event.get("timestamp")) not in (int, float):
            continue
        kind, data = event.get("type"), event.get("data")
        clean = _KINDS.get(kind) if type(kind) is int else None
        if clean is None or type(data) is not dict:
            continue
        cleaned = clean(data)
        if cleaned is None:
            continue
        made = {"type": kind, "data": cleaned, "timestamp": event["timestamp"]}
        if type(event.get("delay")) in (int, float):
            made["delay"] = event["delay"]
        kept.append(made)
    return kept


def _nothing(_: Data) -> Data:
    return {}


def _snapshot(data: Data) -> Data | None:
    node = clean_tree(data.get("node"))
    if node is None:
        return None
    offset = data.get("initialOffset")
    return {"node": node, "initialOffset": _numbers(offset) if type(offset) is dict else {"top": 0, "left": 0}}


def _meta(data: Data) -> Data:
    href = data.get("href")
    address = mask_address(href) if type(href) is str and href[:4] == "http" else ""
    return {"href": address, "width": _number(data.get("width")), "height": _number(data.get("height"))}


def _custom(data: Data) -> Data | None:
    tag = data.get("tag")
    if type(tag) is not str or len(tag) > 100:
        return None
    return {"tag": mask_text(tag), "payload": _plain(data.get("payload"), 0)}


def _plain(value: Any, depth: int) -> Any:
    """JSON of any shape, its texts masked; what is nested too deep is null."""
    if type(value) is str:
        return mask_text(value)
    if type(value) in _NUMBERS:
        return value
    if depth >= MOST_CUSTOM_DEPTH:
        return None
    if type(value) is list:
        return [_plain(one, depth + 1) for one in value]
    if type(value) is dict:
        return {mask_text(name): _plain(one, depth + 1) for name, one in value.items()}
    return None


def _change(data: Data) -> Data | None:
    source = data.get("source")
    clean = _SOURCES.get(source) if type(source) is int else None
    cleaned = clean(data) if clean else None
    return None if cleaned is None else {"source": source, **cleaned}


def _mutation(data: Data) -> Data:
    made: Data = {
        "texts": [
            {"id": one["id"], "value": clean_characters(one.get("value"), styles=True)} for one in _nodes(data, "texts")
        ],
        "attributes": [
            {"id": one["id"], "attributes": clean_attributes("", one["attributes"])}
            for one in _nodes(data, "attributes")
            if type(one.get("attributes")) is dict
        ],
        "removes": [_numbers(one) for one in _nodes(data, "removes")],
        "adds": [added for one in _list(data, "adds") if (added := _added(one))],
    }
    if data.get("isAttachIframe") is True:
        made["isAttachIframe"] = True
    return made


def _added(one: Any) -> Data | None:
    if type(one) is not dict or type(one.get("parentId")) is not int:
        return None
    node = clean_tree(one.get("node"), place_known=False)
    if node is None:
        return None
    return {**{name: one[name] for name in ("parentId", "nextId", "previousId") if _is_id(one, name)}, "node": node}


def _positions(data: Data) -> Data:
    return {"positions": [_numbers(one) for one in _list(data, "positions") if type(one) is dict]}


def _input(data: Data) -> Data:
    text = data.get("text")
    return {**_numbers(data), "text": mask_text(text) if type(text) is str else ""}


def _rule(data: Data) -> Data:
    made = _numbers(data)
    made["adds"] = _rules(data, "adds")
    made["removes"] = [
        {"index": one["index"]} for one in _list(data, "removes") if type(one) is dict and _is_index(one.get("index"))
    ]
    for name in ("replace", "replaceSync"):
        if type(data.get(name)) is str:
            made[name] = clean_css(data[name])
    return made


def _rules(data: Data, name: str) -> list[Data]:
    found = []
    for one in _list(data, name):
        if type(one) is dict and type(one.get("rule")) is str:
            rule: Data = {"rule": clean_css(one["rule"])}
            if _is_index(one.get("index")):
                rule["index"] = one["index"]
            found.append(rule)
    return found


def _font(data: Data) -> Data | None:
    family, source, buffer = data.get("family"), data.get("fontSource"), data.get("buffer") is True
    if type(family) is not str or type(source) is not str or not _FAMILY.match(family):
        return None
    if buffer and not _BYTES.match(source):
        return None
    return {"family": family, "fontSource": source if buffer else clean_css(source), "buffer": buffer}


_FAMILY = re.compile(r"[\w \"',.-]{1,200}\Z")
_BYTES = re.compile(r"\[[\d,]*\]\Z|\{[\d,:\"]*\}\Z")


def _declaration(data: Data) -> Data | None:
    made = _numbers(data)
    index = data.get("index")
    if not _is_index(index):
        return None
    made["index"] = index
    change = data.get("set")
    if type(change) is dict and _is_property(change.get("property")):
        value = clean_declared(change.get("value"))
        priority = "important" if change.get("priority") == "important" else ""
        made["set"] = {"property": change["property"], "value": value or None, "priority": priority}
    removed = data.get("remove")
    if type(removed) is dict and _is_property(removed.get("property")):
        made["remove"] = {"property": removed["property"]}
    return made


def _selection(data: Data) -> Data:
    return {"ranges": [_numbers(one) for one in _list(data, "ranges") if type(one) is dict]}


def _adopted(data: Data) -> Data:
    made = _numbers(data)
    made["styleIds"] = [one for one in _list(data, "styleIds") if type(one) is int]
    made["styles"] = [
        {"styleId": one["styleId"], "rules": _rules(one, "rules")}
        for one in _list(data, "styles")
        if type(one) is dict and type(one.get("styleId")) is int
    ]
    return made


def _numbers(data: Data) -> Data:
    """The fields of `data` that are numbers or truths: they can do no harm, whatever they are called."""
    return {name: value for name, value in data.items() if type(value) in _NUMBERS and name != "__proto__"}


def _number(value: Any) -> int | float:
    return value if type(value) in (int, float) else 0


def _list(data: Data, name: str) -> list[Any]:
    found = data.get(name)
    return found if type(found) is list else []


def _nodes(data: Data, name: str) -> list[Data]:
    """The entries of a list that name a node."""
    return [one for one in _list(data, name) if type(one) is dict and type(one.get("id")) is int]


def _is_id(data: Data, name: str) -> bool:
    return name in data and (data[name] is None or type(data[name]) is int)


def _is_index(value: Any) -> bool:
    return type(value) is int or (type(value) is list and all(type(one) is int for one in value))


def _is_property(value: Any) -> bool:
    return type(value) is str and _PROPERTY.match(value) is not None


_KINDS: dict[int, Callable[[Data], Data | None]] = {
    Kind.LOADED_CONTENT: _nothing,
    Kind.LOADED: _nothing,
    Kind.SNAPSHOT: _snapshot,
    Kind.CHANGE: _change,
    Kind.META: _meta,
    Kind.CUSTOM: _custom,
}

_SOURCES: dict[int, Callable[[Data], Data | None]] = {
    Source.MUTATION: _mutation,
    Source.MOUSE_MOVE: _positions,
    Source.MOUSE: _numbers,
    Source.SCROLL: _numbers,
    Source.RESIZE: _numbers,
    Source.INPUT: _input,
    Source.TOUCH_MOVE: _positions,
    Source.MEDIA: _numbers,
    Source.RULE: _rule,
    Source.FONT: _font,
    Source.DRAG: _positions,
    Source.DECLARATION: _declaration,
    Source.SELECTION: _selection,
    Source.ADOPTED: _adopted,
}
