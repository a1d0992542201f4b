from ipaddress import ip_address

import pytest

from analytics_app.intake.places import Places, _code

PLACES = Places()


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("8.8.8.8", "US"),
        ("::ffff:8.8.8.8", "US"),
        ("2001:4860:4860::8888", "US"),
        ("193.0.6.139", "NL"),
        ("10.0.0.1", ""),
        ("127.0.0.1", ""),
        ("192.168.1.1", ""),
        ("::1", ""),
        ("fe80::1%eth0", ""),
        ("fd00::1", ""),
        ("", ""),
        ("unknown", ""),
        ("1.2.3.4.5", ""),
        ("8.8.8.8 ", ""),
        ("\0", ""),
    ],
)
def test_an_address_has_a_country_or_none(address, country):
    assert PLACES.country_of(address) == country


def test_an_address_may_be_given_as_a_value():
    assert PLACES.country_of(ip_address("::ffff:8.8.8.8")) == "US"


@pytest.mark.parametrize(
    ("record", "country"),
    [
        ({"country": {"iso_code": "GB", "names": {"en": "United Kingdom"}}}, "GB"),
        ({"registered_country": {"iso_code": "SE"}}, "SE"),
        ({"country": {"names": {}}, "registered_country": {"iso_code": "SE"}}, "SE"),
        ({"country_code": "de"}, "DE"),
        ({"country": "JP"}, "JP"),
        ({"country": "Japan", "country_code": "JP"}, "JP"),
        ({"city": {}}, ""),
        ({"country": {"iso_code": 5}}, ""),
        ("GB", ""),
        (None, ""),
    ],
)
def test_the_usual_shapes_of_databases_are_read(record, country):
    assert _code(record) == country


def database_of(record):
    """The bytes of an .mmdb in which the lower half of IPv4 has `record`: one node, two leaves."""

    def written(value):
        match value:
            case dict():
                return bytes([0xE0 | len(value)]) + b"".join(written(part) for pair in value.items() for part in pair)
            case list():
                return bytes([len(value), 4])
            case str():
                return bytes([0x40 | len(value)]) + value.encode()
            case (5, number):
                return bytes([0xA1, number])
            case (6, number):
                return bytes([0xC1, number])
            case (9, number):
                return bytes([1, 2, number])

    tree = (17).to_bytes(3, "big") + (1).to_bytes(3, "big")
    metadata = {
        "node_count": (6, 1),
        "record_size": (5, 24),
        "ip_version": (5, 4),
        "database_type": "Test",
        "languages": [],
        "binary_format_major_version": (5, 2),
        "binary_format_minor_version": (5, 0),
        "build_epoch": (9, 1),
        "description": {},
    }
    return tree + bytes(16) + written(record) + b"\xab\xcd\xefMaxMind.com" + written(metadata)


def test_a_database_of_ones_own_takes_the_place_of_the_built_in_ranges(tmp_path):
    (tmp_path / "places.mmdb").write_bytes(database_of({"country": {"iso_code": "GB"}}))
    places = Places(tmp_path / "places.mmdb")
    assert places.country_of("8.8.8.8") == "GB"
    assert places.country_of("::ffff:8.8.8.8") == "GB"
    assert places.country_of("10.0.0.1") == ""
    assert places.country_of("200.1.1.1") == ""
    assert places.country_of("2001:4860:4860::8888") == ""
    assert places.country_of("nonsense") == ""


def test_a_file_that_is_no_database_is_refused_at_the_start(tmp_path):
    (tmp_path / "places.mmdb").write_bytes(b"nothing of the kind")
    with pytest.raises(Exception, match=r"MaxMind|database|metadata"):
        Places(tmp_path / "places.mmdb")
    with pytest.raises(OSError):
        Places(tmp_path / "missing.mmdb")
