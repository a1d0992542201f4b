"""Taking out of addresses what must not be kept: secrets, e-mail addresses, card numbers."""

import re
from functools import lru_cache
from urllib.parse import unquote

EMAIL = "[email]"
REMOVED = "[removed]"

_SECRET_NAMES = {
    *(
        "assertion",
        "auth",
        "authorization",
        "bearer",
        "code",
        "confirmation",
        "csrf",
        "jsessionid",
        "jwt",
        "key",
        "nonce",
        "oauth",
        "otp",
    ),
    *(
        "pass",
        "passphrase",
        "passwort",
        "phpsessid",
        "pin",
        "pwd",
        "saml",
        "samlrequest",
        "samlresponse",
        "sid",
        "sso",
        "ticket",
        "xsrf",
    ),
    *(
        "cardnumber",
        "cvc",
        "cvv",
        "iban",
        "login",
        "mail",
        "mailto",
        "msisdn",
        "phone",
        "phonenumber",
        "ssn",
        "tel",
        "telephone",
    ),
}
_SECRET_ENDINGS = (
    *("apikey", "accesskey", "authkey", "clientkey", "privatekey", "publickey", "secretkey", "sharekey", "securitykey"),
    *("accesskeyid", "authcode", "credential", "credentials", "email", "emailaddress", "hash", "hmac", "jwt", "nonce"),
    *("otp", "passcode", "passwd", "password", "secret", "sessionid", "sessionkey", "sig", "signature", "token"),
)
_NOT_NAME = re.compile(r"[^a-z0-9]+")
_SPLIT = re.compile(r"([/?&;#])")
# Where one of these stands in a path, a long word after it is a one-time secret.
_BEFORE_SECRET = {
    *(
        "activate",
        "activation",
        "auth",
        "confirm",
        "confirmation",
        "invitation",
        "invite",
        "invites",
        "magic",
        "magic-link",
    ),
    *("password-reset", "recover", "recovery", "reset", "reset-password", "resetpassword", "session", "share", "token"),
    *("unsubscribe", "verification", "verify"),
}
# Hexadecimal (UUIDs too), or letters of both cases with digits: `summer-sale-2024-deals` is neither.
_OPAQUE = re.compile(r"(?=\D*\d)[0-9a-fA-F-]{16,}|(?=\D*\d)(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])[\w.~=-]{16,}", re.ASCII)
_JWT = re.compile(r"eyJ[\w-]{6,}\.[\w-]{4,}(?:\.[\w-]*)?")
_EMAIL = re.compile(r"(?<![\w.+'-])[\w.+'-]++@[\w-]+(?:\.[\w-]+)+")
_DIGITS = re.compile(r"(?<!\d)\d(?:[ +-]?\d){12,18}(?!\d)")
_WORTH_A_LOOK = re.compile(r"[?@&=;%#]|eyJ|\d{4}|[^/]{16}")


@lru_cache(maxsize=8192)
def scrub_url(url: str) -> str:
    """A path, query or URL with its secrets as `[removed]` and its e-mail addresses as `[email]`.

    A parameter with a telling name (`token`, `reset_password`, `X-Amz-Signature`) loses its value, whatever it is; in
    other values and in segments of the path, what looks like a token, a card number or an e-mail address goes.
    Scrubbing twice changes nothing. Never raises.
    """
    if not _WORTH_A_LOOK.search(url):
        return url
    parts = _SPLIT.split(url)
    before = ""
    for at in range(0, len(parts), 2):
        part = parts[at]
        if part:
            parts[at] = _scrub_part(part, before)
            before = part.lower()
    return "".join(parts)


def _scrub_part(part: str, before: str) -> str:
    name, equals, value = part.partition("=")
    if equals:
        name = _scrub_value(name)
        if not value or value in {EMAIL, REMOVED}:
            return f"{name}={value}"
        return f"{name}={REMOVED if _is_secret(name) else _scrub_value(value)}"
    if before in _BEFORE_SECRET and _OPAQUE.fullmatch(part):
        return REMOVED
    return _scrub_value(part)


def _scrub_value(value: str) -> str:
    if len(value) < 5:
        return value
    plain = unquote(value) if "%" in value else value
    if "@" in plain and _EMAIL.search(plain):
        return EMAIL
    if "eyJ" in plain and _JWT.search(plain):
        return REMOVED
    if len(plain) > 12 and any(_is_card(found[0]) for found in _DIGITS.finditer(plain)):
        return REMOVED
    if (
        plain is not value and "=" in plain and scrub_url(plain) != plain
    ):  # an address inside: `?next=%2Fin%3Ftoken%3D1`
        return REMOVED
    return value


def _is_secret(name: str) -> bool:
    plain = _NOT_NAME.sub("", (unquote(name) if "%" in name else name).lower())
    return plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS)


def _is_card(text: str) -> bool:
    """Whether the digits begin as cards of the large networks do, and their check digit is right (Luhn)."""
    digits = [int(letter) for letter in text if letter.isdigit()]
    if not (3 <= digits[0] <= 6 or (digits[0] == 2 and 2 <= digits[1] <= 7)):
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
