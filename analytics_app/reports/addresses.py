"""Addresses that mail is sent to."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

MOST = 254  # RFC 5321, 4.5.3.1.3: a path of 256 octets, its brackets included
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(
    rf"(?:{_ATOM}(?:\.{_ATOM})*)@(?:{_LABEL}\.)+(?:[A-Za-z]{{2,63}}|xn--[A-Za-z0-9-]{{1,59}})", re.ASCII
)

PATTERN = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,30}(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,30})?"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,28}[A-Za-z0-9])?\.){1,5}[A-Za-z]{2,20}$"
)
"""What the API's document says: a pattern cannot add up lengths, so it is narrower than what is taken."""


def mail_address(value: str) -> str:
    """`value`, its domain in small letters. Raises ValueError where no mail can be sent to it."""
    local, _, domain = value.rpartition("@")
    if len(value) > MOST or len(local) > 64 or not _ADDRESS.fullmatch(value):
        raise ValueError("must be an e-mail address such as user@example.com")
    return f"{local}@{domain.lower()}"


MailAddress = Annotated[
    str, AfterValidator(mail_address), WithJsonSchema({"type": "string", "maxLength": MOST, "pattern": PATTERN})
]
"""An e-mail address in a body."""
