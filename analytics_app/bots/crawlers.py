"""Crawlers whose operators publish their addresses: who says so is verified, or pretends.

The ranges come with the service, as they were published on a day (`data/crawler_ranges.json`), or from a file of the
same form that a setting names; nothing is asked of anybody at run time.
"""

import json
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from analytics_app.bots.networks import Networks, address_of

PUBLISHED = Path(__file__).parent / "data" / "crawler_ranges.json"


@dataclass(frozen=True, slots=True)
class _Operator:
    agents: tuple[str, ...]
    is_search_engine: bool
    networks: Networks[bool]


class Crawlers:
    """The published ranges of a file. Raises OSError or ValueError where it cannot be read."""

    def __init__(self, path: Path | None = None) -> None:
        told: dict[str, Any] = json.loads((path or PUBLISHED).read_text(encoding="utf-8"))
        self.published: str = told["published"]
        """The day the ranges are of."""
        self._operators = [
            _Operator(
                tuple(agent.lower() for agent in one["agents"]),
                bool(one.get("search")),
                Networks((ip_network(text), True) for text in one["ranges"]),
            )
            for one in told["operators"]
        ]

    def check(self, user_agent: str, address: str) -> tuple[bool | None, bool]:
        """Whether the address is published for the crawler that a user agent names, and whether that searches.

        None where nobody of that name publishes any.
        """
        agent = user_agent.lower()
        named = [one for one in self._operators if any(name in agent for name in one.agents)]
        if not named:
            return None, False
        where = address_of(address)
        holding = [one for one in named if one.networks.find(where)]
        return bool(holding), any(one.is_search_engine for one in holding or named)
