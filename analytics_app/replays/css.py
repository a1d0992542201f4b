"""Style sheets that load nothing: pure."""

import re

SAFE_DATA = re.compile(
    r"data:(?:image/(?:png|gif|jpe?g|webp|avif|bmp|x-icon|vnd\.microsoft\.icon|svg\+xml)|font/[\w.+-]+"
    r"|application/(?:x-)?font[\w.+-]*)(?:;[\w.=+-]+)*,[^\s\"'\\<>()]*\Z",
    re.IGNORECASE,
)
"""A picture or font that carries its own bytes, written so that nothing can end its text early."""

NOWHERE = "url(data:,)"

_MAY_LOAD = re.compile(r"\\|url|@import|image-set|image\(|src\(|cross-fade", re.IGNORECASE)
# An escape that stands for a letter is that letter everywhere in CSS; the others (icons, quotes) stay as they are.
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})(?:\r\n|[ \t\r\n\f])?|([g-zG-Z]))")
_URL = re.compile(
    r"url\(\s*+(?:\"([^\"\n]*)\"|'([^'\n]*)'|([^)\"'(]*+))\s*+\)|(url(?:-prefix)?\([^;{}]*+)", re.IGNORECASE
)
_IMPORT = re.compile(r"@import(?:\"[^\"\n]*\"|'[^'\n]*'|[^;\"'])*;?", re.IGNORECASE)
_LOADERS = re.compile(r"(?<![\w-])(?:-webkit-|-moz-)?(?:image-set|image|src|cross-fade)(?=\()", re.IGNORECASE)


def clean_css(css: str) -> str:
    """`css` with nothing left in it that a browser would load: imports, addresses, functions that take one.

    Pictures and fonts that carry their own bytes stay, and so do references within the document (`url(#clip)`).
    Cleaning twice changes nothing. Never raises.
    """
    if not _MAY_LOAD.search(css):
        return css
    plain = _ESCAPE.sub(_letter, css) if "\\" in css else css
    cleaned = _LOADERS.sub("-x-gone", _URL.sub(_address, _IMPORT.sub("/*import*/", plain)))
    return css if cleaned == plain else cleaned


def _letter(escape: re.Match[str]) -> str:
    """The letter or sign that an escape of a keyword stands for; any other escape as it was."""
    if escape[2]:
        return escape[2]
    code = int(escape[1], 16)
    char = chr(code) if code < 0x80 else ""
    return char if char and (char.isalnum() or char in "@-(") else escape[0]


def _address(found: re.Match[str]) -> str:
    if found[4] is not None:  # a bracket that is never closed, or quotes that do not match: browsers read on regardless
        return "-x-gone("
    quoted = found[1] if found[1] is not None else found[2]
    address = (quoted if quoted is not None else found[3]).strip()
    if address.startswith("#") or address == "data:,":
        return f"url({address})" if _PLAIN.fullmatch(address) else NOWHERE
    if SAFE_DATA.fullmatch(address):
        return f'url("{address}")'
    if quoted is not None and (safe := _svg(address)):
        return f'url("{safe}")'
    return NOWHERE


_PLAIN = re.compile(r"#[\w:.-]*|data:,")
_SVG = re.compile(r"data:image/svg\+xml(?:;[\w.=+-]+)*,", re.IGNORECASE)


def _svg(address: str) -> str:
    """A drawing written out within quotes, so that no character of it can end the address; empty where it is none."""
    if not _SVG.match(address) or "\\" in address:
        return ""
    head, _, drawing = address.partition(",")
    plain = {'"': "%22", "'": "%27", "(": "%28", ")": "%29", "<": "%3C", ">": "%3E", " ": "%20", "\t": "%09"}
    written = f"{head},{''.join(plain.get(char, char) for char in drawing)}"
    return written if SAFE_DATA.fullmatch(written) else ""
