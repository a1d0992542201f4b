"""The country of an address."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import maxminddb
from iptocc import country_code

from analytics_app.intake.addresses import unmapped

Address = IPv4Address | IPv6Address


class Places:
    """Looks countries up in the built-in ranges of the registries, or in an .mmdb where one is given.

    Raises OSError where the file cannot be read, and maxminddb.InvalidDatabaseError where it is no database.
    """

    def __init__(self, database: Path | None = None) -> None:
        # Mapped into memory: a newer file takes its place by renaming, as updaters do, and counts from the next start.
        self._reader = maxminddb.open_database(database) if database else None

    def country_of(self, address: str | Address) -> str:
        """ISO 3166 alpha-2 code in capitals; empty where it is not known, as for private addresses. Never raises."""
        # In any other writing than these, an address is not an IPv4-mapped one. A header may hold what is no text.
        if self._reader is None and isinstance(address, str) and address.isascii() and address[:1] not in {":", "0"}:
            return country_code(address) or ""
        try:
            ip = unmapped(ip_address(address) if isinstance(address, str) else address)
        except ValueError:
            return ""
        if self._reader is None:
            return country_code(str(ip)) or ""
        if ip.is_private:
            return ""
        try:
            return _code(self._reader.get(ip))
        except (ValueError, maxminddb.InvalidDatabaseError):  # an IPv6 address in a database of IPv4; a damaged branch
            return ""


def _code(record: object) -> str:
    """The country's code in a record, in the shapes that the usual databases have."""
    if not isinstance(record, dict):
        return ""
    for name in ("country", "registered_country", "country_code"):
        found = record.get(name)
        code = found.get("iso_code") if isinstance(found, dict) else found
        if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha():
            return code.upper()
    return ""
