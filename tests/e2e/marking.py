"""Every public call of the OpenAPI document that takes something in, a marker in each field that can hold a text."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from tests.recordings import change, click, custom, document, element, text_node

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
NOT_TAKEN_IN = {"/analytics/openapi.json", "/analytics/gdpr/consent/status", "/analytics/email-reports/unsubscribe"}
"""Public, and keep nothing of a visitor."""


class Marker:
    """A visitor all of whose texts say one word, and the ids of what they come across."""

    def __init__(self, website: dict[str, Any], experiment_id: int, variant_id: int) -> None:
        self.word = f"zq{uuid.uuid4().hex[:12]}zq"
        self.visitor, self.session = f"{self.word}-visitor", f"{self.word}-session"
        self.known: dict[str, Any] = {
            "key": website["pixel_key"],
            "pixel_key": website["pixel_key"],
            "visitor_id": self.visitor,
            "session_id": self.session,
            "experiment_id": experiment_id,
            "variant_id": variant_id,
            "event_id": 0,
            "sequence": 0,
            "type": "pageview",
            "interactive": True,
            "webdriver": False,
            "currency": "EUR",
            "value": 12.5,
            "ip": "203.0.113.77",
            "user_agent": f"{USER_AGENT} {self.word}",
            "viewport_width": 1000,
            "page_width": 1000,
        }
        self.paths = 0
        self.filled: set[str] = set()
        """The fields that a marker was put into, by name."""

    def headers(self) -> dict[str, str]:
        """Headers that a browser sends, with the marker wherever a text may stand."""
        site = f"https://{self.word}.example"
        return {
            "User-Agent": f"{USER_AGENT} {self.word}",
            "Accept-Language": f"de-CH,x-{self.word};q=0.5",
            "Referer": f"{site}/{self.word}?q={self.word}",
            "Origin": site,
            "Cookie": f"{self.word}={self.word}",
            "X-Visitor-ID": self.word,
            "X-Request-ID": self.word,
            "X-Forwarded-For": self.word,
            "Forwarded": f"for={self.word}",
            "Sec-Fetch-Mode": "cors",
            "Sec-CH-UA": f'"{self.word}";v="1"',
            "Sec-CH-UA-Platform": f'"{self.word}"',
        }

    def text(self, name: str) -> str:
        """A text for the field of that name."""
        self.filled.add(name)
        if name in ("path", "p"):
            self.paths += 1
            return f"/{self.word}/{self.paths}?{self.word}={self.word}"
        if name in ("referrer", "r"):
            return f"https://{self.word}.example/{self.word}?utm_source={self.word}"
        if name == "host":
            return f"{self.word}.example"
        if name == "tab":  # no spaces
            return f"{self.word}-tab"
        return f"{self.word} {name}"

    def value(self, name: str, schema: dict[str, Any], components: dict[str, Any]) -> Any:
        """A value for a field, by its schema."""
        while "$ref" in schema:
            schema = components[schema["$ref"].rpartition("/")[2]]
        choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null" and one]
        if choices:
            return self.value(name, choices[0], components)
        if "enum" in schema and self.known.get(name) not in schema["enum"]:
            return schema["enum"][0]
        if name in self.known:
            return self.known[name]
        if name == "events":
            return self.recording()
        if name == "hits":
            return [self.hit(components, f"hits {number}") for number in range(3)]
        kind = schema.get("type")
        if schema.get("format") == "uuid":
            return str(uuid.uuid4())
        if schema.get("format") == "date-time":
            return None
        if kind == "object" and "properties" in schema:
            return self.fields(schema, components)
        if kind == "object":
            self.filled.add(name)
            return {self.word: self.word, f"{self.word} 2": 7}
        if kind == "array":
            return [self.value(name, schema["items"], components)]
        if kind in ("integer", "number"):
            return 300
        if kind == "boolean":
            return False
        assert kind == "string", (name, schema)
        return self.text(name)

    def fields(self, schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
        """A value for every property of an object."""
        made = {name: self.value(name, one, components) for name, one in schema["properties"].items()}
        return {name: value for name, value in made.items() if value is not None}

    def hit(self, components: dict[str, Any], said: str) -> dict[str, Any]:
        """One hit of a batch."""
        made = self.fields(components["TrackBody"], components)
        return {**made, "title": f"{self.word} {said}"}

    def recording(self) -> list[dict[str, Any]]:
        """A recording that says it in texts, attributes, addresses, input, and what our recorder adds."""
        self.filled.add("events")
        word, site = self.word, f"https://{self.word}.example/{self.word}"
        body = element("p", text_node(f"{word} text", 7), title=word, data_said=word, **{"class": word}, id_=6)
        page = document(body, element("a", text_node(word), href=site), element("input", value=word, id_=9))
        events = [
            {"type": 4, "data": {"href": site, "width": 1000, "height": 600}, "timestamp": 1},
            {"type": 2, "data": {"node": page, "initialOffset": {"left": 0, "top": 0}}, "timestamp": 2},
            change(1, 0, texts=[{"id": 7, "value": f"{word} later"}], attributes=[], removes=[], adds=[]),
            change(2, 5, id=9, text=word, isChecked=False),
            click(3),
            custom(4, "error", message=word),
            custom(5, "route", href=site, title=word),
        ]  # fmt: skip
        now_ms = round(time.time() * 1000)
        return [{**event, "timestamp": now_ms + number} for number, event in enumerate(events)]

    def calls(self, openapi: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and options of each public call that takes something in, for aiohttp's client."""
        components = openapi["components"]["schemas"]
        for path, operations in openapi["paths"].items():
            for method, said in operations.items():
                if method not in ("get", "post", "put", "patch", "delete") or path in NOT_TAKEN_IN:
                    continue
                body = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
                query = [one for one in said.get("parameters", ()) if one["in"] == "query"]
                if said["security"] or not path.startswith("/analytics/") or not (body or query):
                    continue
                made = {one["name"]: self.value(one["name"], one["schema"], components) for one in query}
                if path == "/analytics/pixel":  # it reads more than its query's own names: whose view it is
                    made |= {"visitor_id": self.visitor, "session_id": self.session}
                options: dict[str, Any] = {
                    "params": {**{name: str(value) for name, value in made.items()}, self.word: self.word},
                    "headers": self.headers(),
                }
                if body:
                    value = self.value("", body, components)
                    options["data"] = json.dumps({**value, self.word: self.word})
                    options["headers"]["Content-Type"] = "application/json"
                yield method, path.replace("{pixel_key}", str(self.known["key"])), options
