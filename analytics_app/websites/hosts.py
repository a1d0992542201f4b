"""Host names as people write them and as browsers report them."""

import re

import idna

MAX_HOST = 253

_LABEL = "[A-Za-z0-9_\u00a1-\ud7ff\uf900-\uffdc-]{1,63}"
HOST_PATTERN = rf"^({_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(:[1-9][0-9]{{0,4}})?$"
"""A host name, an IPv4 address or an IPv6 address in brackets, with or without a port; Unicode names are fine."""

ALLOWED_PATTERN = HOST_PATTERN.replace("^(", r"^(\*\.)?(", 1)
"""The same, or `*.example.com` for example.com and every host below it."""

_HOST = re.compile(HOST_PATTERN[1:-1])
_ALLOWED = re.compile(ALLOWED_PATTERN[1:-1])


def normal_host(text: str) -> str:
    """The host as browsers report it: small letters, Unicode as `xn--…`. Raises ValueError where `text` is no host."""
    if len(text) > MAX_HOST or not _HOST.fullmatch(text):
        raise ValueError("must be a host such as example.com, without scheme and path")
    return _ascii(text)


def normal_allowed(text: str) -> str:
    """The same for a host that may begin with `*.`. Raises ValueError."""
    if len(text) > MAX_HOST or not _ALLOWED.fullmatch(text):
        raise ValueError("must be a host such as example.com or *.example.com, without scheme and path")
    return _ascii(text)


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    return ".".join(label.lower() if label.isascii() else _punycode(label) for label in text.split("."))


def _punycode(label: str) -> str:
    name, colon, port = label.partition(":")
    if name.isascii():
        return label.lower()
    try:
        return idna.encode(name, uts46=True).decode() + colon + port
    except idna.IDNAError:  # no registry sells it, but a private network may well have it
        return f"xn--{name.lower().encode('punycode').decode()}{colon}{port}"
