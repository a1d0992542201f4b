"""What people say of senders themselves: whitelist and blacklist, by address, range and user agent. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from analytics_app.bots.networks import Networks, address_of, read_address, read_network
from analytics_app.intake.addresses import Network


class RuleType(StrEnum):
    """What a rule decides."""

    WHITELIST = "whitelist"
    BLACKLIST = "blacklist"


class MatchType(StrEnum):
    """What a rule looks at."""

    IP = "ip"
    IP_RANGE = "ip_range"
    USER_AGENT = "user_agent"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a website."""

    id: int
    rule_type: RuleType
    match_type: MatchType
    match_value: str


def normal_value(match_type: MatchType, value: str) -> str:
    """A rule's value in its one form: the shortest of an address or range. Raises ValueError with what is wrong."""
    if match_type is MatchType.IP:
        return str(read_address(value))
    if match_type is MatchType.IP_RANGE:
        return str(read_network(value))
    return value


class _Side:
    """The rules of one type."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        networks: list[tuple[Network, Rule]] = []
        self.words: list[tuple[str, Rule]] = []
        for rule in rules:
            if rule.match_type is MatchType.USER_AGENT:
                self.words.append((rule.match_value.lower(), rule))
            else:
                whole = rule.match_value
                if rule.match_type is MatchType.IP:
                    whole += f"/{read_address(whole).max_prefixlen}"
                networks.append((read_network(whole), rule))
        self.networks = Networks(networks)

    def match(self, address: str, agent: str) -> Rule | None:
        if self.networks and (found := self.networks.find(address_of(address))):
            return found
        return next((rule for word, rule in self.words if word in agent), None)


class RuleSet:
    """The rules of a website, made ready to be asked for every hit."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = list(rules)
        self._sides = [_Side(rule for rule in self._rules if rule.rule_type is side) for side in RuleType]

    def match(self, address: str, user_agent: str) -> Rule | None:
        """The rule that decides about a sender: one of the whitelist before any of the blacklist; None without one."""
        if not self._rules:
            return None
        agent = user_agent.lower()
        for side in self._sides:
            found = side.match(address, agent)
            if found is not None:
                return found
        return None


NO_RULES = RuleSet()
