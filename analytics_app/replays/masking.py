"""What must not be read in a recording, covered: e-mail addresses, card numbers, secrets. Pure.

The browser masks inputs before it sends anything; this is the second line, for texts, values and addresses. What is
covered keeps its length, so that the page keeps its shape.
"""

import re

from analytics_app.intake.scrubbing import scrub_url

_WORTH_A_LOOK = re.compile(r"@|eyJ|\d(?:[ -]?\d){12}|://|[\w~+/=.-]{20}|earer |BEGIN ")
_EMAIL = re.compile(r"(?<![\w.+'%-])[\w.+'%-]++@[\w-]+(?:\.[\w-]+)+")
_DIGITS = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_ADDRESS = re.compile(r"https?://[^\s\"'<>]+")
_SECRET = re.compile(
    r"(?<![\w-])eyJ[\w-]{6,}+\.[\w-]{4,}+(?:\.[\w-]*)?"  # JSON web tokens
    r"|\b(?:[sprw]k_(?:live|test)|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abeoprs]|npm|pypi|an|shpat|dop_v1|hf|SG)"
    r"[_.-][\w.-]{16,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{35}"
    r"|(?<=Bearer )[\w.~+/=-]{8,}|(?<=bearer )[\w.~+/=-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    # Whatever mixes digits with letters of both cases for so long is no word.
    r"|(?<![\w+/=.~-])(?=[A-Za-z0-9_+=~-]{32})(?=\D{0,400}\d)(?=[^A-Z\s]{0,400}[A-Z])(?=[^a-z\s]{0,400}[a-z])"
    r"[A-Za-z0-9_+=~-]{32,400}(?![\w+/=.~-])"
)


def mask_text(text: str) -> str:
    """`text` with e-mail addresses, card numbers and secrets as asterisks, addresses in it without their secrets.

    Masking twice changes nothing. Never raises.
    """
    if len(text) < 6 or not _WORTH_A_LOOK.search(text):
        return text
    if "://" in text:
        text = _ADDRESS.sub(lambda found: scrub_url(found[0]), text)
    if "@" in text:
        text = _EMAIL.sub(_stars, text)
    text = _SECRET.sub(_stars, text)
    return _DIGITS.sub(lambda found: _stars(found) if is_card(found[0]) else found[0], text)


def mask_address(address: str) -> str:
    """An address of a page, without its secrets."""
    return mask_text(scrub_url(address))


def is_card(text: str) -> bool:
    """Whether the digits in `text` begin as cards of the large networks do, and their check digit is right (Luhn)."""
    digits = [int(char) for char in text if char.isdecimal()]
    if not 13 <= len(digits) <= 19 or not (3 <= digits[0] <= 6 or (digits[0] == 2 and 2 <= digits[1] <= 7)):
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _stars(found: re.Match[str]) -> str:
    return "*" * len(found[0])
