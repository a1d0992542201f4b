"""Where the time goes, from stacks as py-spy writes them (`outer;inner count`): pure."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_PLACE = re.compile(r"(?P<name>.+) \((?P<file>[^()]*?)(?::\d+)?\)$")
_PACKAGES = re.compile(r".*?/(?:site-packages|lib/python3\.\d+)/")


@dataclass(frozen=True, slots=True)
class Line:
    """A function's part of all samples: of its own, and with all that it calls."""

    function: str
    own: float
    whole: float


def hottest(stacks: Iterable[str], root: str = "") -> list[Line]:
    """Every function found, most of its own first. `root` is the folder that paths are shown from."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for stack in stacks:
        text, _, count = stack.strip().rpartition(" ")
        frames = [short(frame, root) for frame in text.split(";") if not frame.startswith(("process ", "thread "))]
        if not frames or not count.isdigit():
            continue
        own[frames[-1]] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)
    total = own.total() or 1
    lines = [Line(name, own[name] / total, whole[name] / total) for name in whole]
    return sorted(lines, key=lambda line: (-line.own, -line.whole, line.function))


def short(frame: str, root: str = "") -> str:
    """A frame without its line and the path to its package: `put_ids (analytics_app/intake/pipeline.py)`."""
    found = _PLACE.match(frame)
    if found is None:
        return frame
    file = _PACKAGES.sub("", found["file"])
    return f"{found['name']} ({file.removeprefix(root).lstrip('/')})"
