import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.bots.networks import Networks, address_of, masked, read_network
from analytics_app.bots.rules import MatchType, Rule, RuleSet, RuleType, normal_value
from analytics_app.bots.sightings import grams_of, prefixes_of, sought

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
)


def rules(*said):
    """Rules given as (rule type, match type, value)."""
    return RuleSet(
        Rule(number, RuleType(side), MatchType(kind), normal_value(MatchType(kind), value))
        for number, (side, kind, value) in enumerate(said, 1)
    )


@pytest.mark.parametrize(
    ("kind", "value", "address", "found"),
    [
        ("ip", "192.168.1.100", "192.168.1.100", True),
        ("ip", "192.168.1.100", "192.168.1.101", False),
        ("ip", "::ffff:192.168.1.100", "192.168.1.100", True),
        ("ip", "192.168.1.100", "::ffff:192.168.1.100", True),
        ("ip", "2001:db8::1", "2001:0db8:0:0::1", True),
        ("ip", "fe80::1%eth0", "fe80::1", True),
        ("ip", "fe80::1", "fe80::1%wlan0", True),
        ("ip_range", "192.168.1.0/24", "192.168.1.255", True),
        ("ip_range", "192.168.1.0/24", "192.168.2.0", False),
        ("ip_range", "192.168.1.77/24", "192.168.1.1", True),
        ("ip_range", "10.0.0.0/9", "10.127.255.255", True),
        ("ip_range", "10.0.0.0/9", "10.128.0.0", False),
        ("ip_range", "192.0.2.1/32", "192.0.2.1", True),
        ("ip_range", "0.0.0.0/0", "203.0.113.9", True),
        ("ip_range", "0.0.0.0/0", "2001:db8::1", False),
        ("ip_range", "::/0", "2001:db8::1", True),
        ("ip_range", "::/0", "203.0.113.9", False),
        ("ip_range", "::/0", "::ffff:203.0.113.9", False),
        ("ip_range", "::ffff:192.0.2.0/120", "192.0.2.7", True),
        ("ip_range", "2001:db8::/33", "2001:db8:7fff::1", True),
        ("ip_range", "2001:db8::/33", "2001:db8:8000::1", False),
        ("ip_range", "2001:db8::/128", "2001:db8::", True),
        ("ip_range", "0.0.0.0/0", "", False),
        ("ip_range", "0.0.0.0/0", "unknown", False),
        ("user_agent", "win64", "192.0.2.1", True),
        ("user_agent", "firefox", "192.0.2.1", False),
    ],
)
def test_a_rule_matches_addresses_ranges_and_parts_of_the_user_agent(kind, value, address, found):
    assert bool(rules(("blacklist", kind, value)).match(address, CHROME)) is found


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            ("ip_range", value)
            for value in ("192.168.1.0", "192.168.1.0/33", "2001:db8::/129", "192.168.1.0/-1", "/24")
        ),
        *(("ip_range", value) for value in ("192.168.1.0/255.255.255.0", "a.b.c.d/8", "192.168.1/24", "1.2.3.4/8/9")),
        *(("ip", value) for value in ("192.168.1.0/24", "192.168.1.256", "01.2.3.4", "localhost", "2001:db8:::1")),
    ],
)
def test_what_is_no_address_or_range_is_refused(kind, value):
    with pytest.raises(ValueError, match="must be"):
        normal_value(MatchType(kind), value)


def test_a_rule_is_kept_in_its_one_form():
    assert normal_value(MatchType.IP_RANGE, "192.168.1.77/24") == "192.168.1.0/24"
    assert normal_value(MatchType.IP_RANGE, "2001:DB8:0::1/32") == "2001:db8::/32"
    assert normal_value(MatchType.IP, " ::FFFF:192.0.2.1 ") == "192.0.2.1"


def test_the_whitelist_beats_the_blacklist_whichever_is_nearer():
    found = rules(("blacklist", "ip", "192.0.2.1"), ("whitelist", "ip_range", "0.0.0.0/0")).match("192.0.2.1", CHROME)
    assert found is not None
    assert found.rule_type is RuleType.WHITELIST


@given(st.ip_addresses(), st.lists(st.tuples(st.ip_addresses(), st.integers(0, 128)), max_size=20))
def test_networks_find_what_a_look_at_each_of_them_finds(address, given_):
    networks = [read_network(f"{base}/{min(length, base.max_prefixlen)}") for base, length in given_]
    held = Networks((network, network) for network in networks)
    holding = [network for network in networks if address in network]
    found = held.find(address_of(str(address)))
    if address_of(str(address)) == address:  # not IPv4 in IPv6
        assert (found is not None) is bool(holding)
        assert found is None or found.prefixlen == max(network.prefixlen for network in holding)


def test_a_home_s_ipv6_addresses_are_one_sender():
    assert masked(address_of("2001:db8::1")) == masked(address_of("2001:db8::ffff:1"))
    assert masked(address_of("2001:db8::1")) != masked(address_of("2001:db8:0:1::1"))


def test_thousands_of_rules_cost_a_hit_hardly_anything():
    many = rules(*(("blacklist", "ip_range", f"10.{n // 250}.{n % 250}.0/24") for n in range(1000)))
    few = rules(("blacklist", "ip_range", "10.0.0.0/24"))
    assert _cost_of(many) < 10 * _cost_of(few)  # to look at each would be 1,000 times as much


def _cost_of(known):
    began = time.process_time()
    for _ in range(2000):
        known.match("192.0.2.1", CHROME)
    return time.process_time() - began


# Rules that are tried on what is left of a day: keyed hashes.


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 128))
def test_a_range_is_found_by_the_hashes_of_its_parts_exactly(address, base, length):
    network = read_network(f"{base}/{min(length, base.max_prefixlen)}")
    wanted = sought(b"salt", 7, MatchType.IP_RANGE, str(network))
    assert len(wanted.prefixes) <= 256
    for one in (address, network[0], network[-1]):
        where = address_of(str(one))
        found = not set(wanted.prefixes).isdisjoint(prefixes_of(b"salt", 7, where))
        assert found is (where in network)


def test_an_address_is_found_by_its_hash_on_its_own_website_alone():
    held = prefixes_of(b"salt", 7, address_of("192.0.2.1"))
    assert set(sought(b"salt", 7, MatchType.IP, "192.0.2.1").prefixes) <= set(held)
    for salt, website_id, address in ((b"other", 7, "192.0.2.1"), (b"salt", 8, "192.0.2.1"), (b"salt", 7, "192.0.2.2")):
        assert set(sought(salt, website_id, MatchType.IP, address).prefixes).isdisjoint(held)


def test_a_part_of_a_user_agent_is_found_in_any_case_and_others_are_not():
    held = set(grams_of(b"salt", CHROME))
    assert set(sought(b"salt", 7, MatchType.USER_AGENT, "chrome/143").grams) <= held
    assert not set(sought(b"salt", 7, MatchType.USER_AGENT, "Firefox").grams) <= held
