"""The chart of a report: visitors of the period as bars, those of the period before as a line, in a PNG."""

from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 1120, 360
"""In pixels; mails show it at half of that, so that it is sharp on fine screens."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 12, 20, 52
_BAR, _LINE, _GRID, _TEXT, _BACK = "#4f46e5", "#f59e0b", "#e5e7eb", "#6b7280", "#ffffff"
_LABELS = 8


def draw(keys: Sequence[str], now: Sequence[int], before: Sequence[int]) -> bytes:
    """A PNG of `now` by `keys` (dates, or hours such as `2026-01-22T13:00`), with `before` as a line."""
    image = Image.new("RGB", (WIDTH, HEIGHT), _BACK)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(22)
    top = scale_of(max([*now, *before, 1]))
    inner_width, inner_height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def y_of(value: float) -> float:
        return _TOP + inner_height * (1 - value / top)

    for quarter in range(5):
        value = top * quarter / 4
        pen.line([(_LEFT, y_of(value)), (WIDTH - _RIGHT, y_of(value))], fill=_GRID, width=2)
        pen.text((_LEFT - 12, y_of(value)), short(value), fill=_TEXT, font=font, anchor="rm")
    step = inner_width / max(len(now), 1)
    centres = [_LEFT + step * (place + 0.5) for place in range(len(now))]
    for centre, value in zip(centres, now, strict=True):
        if value:
            half = max(step * 0.34, 1)
            pen.rounded_rectangle((centre - half, y_of(value), centre + half, y_of(0)), 4, fill=_BAR)
    points = [(centre, y_of(value)) for centre, value in zip(centres, before, strict=False)]
    if len(points) > 1:
        pen.line(points, fill=_LINE, width=4, joint="curve")
    every = -(-len(keys) // _LABELS) or 1
    for place in range(0, len(keys), every):
        pen.text((centres[place], HEIGHT - _BOTTOM + 12), label_of(keys[place]), fill=_TEXT, font=font, anchor="mt")
    png = BytesIO()
    image.quantize(64).save(png, "PNG", optimize=True)
    return png.getvalue()


def scale_of(most: int) -> int:
    """The top of an axis that shows `most`: a round number that four parts of make whole ones."""
    step = 4
    while True:
        for factor in (1, 2, 3, 5):
            if step * factor >= most:
                return step * factor
        step *= 10


def short(value: float) -> str:
    """A number on the axis: `250`, `1.5k`, `3M`."""
    for size, unit in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def label_of(key: str) -> str:
    """A bucket's key under its bar: `13:00` of an hour, `Jan 22` of a day."""
    if "T" in key:
        return key.partition("T")[2][:5]
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    _, month, day = key.split("-")
    return f"{months[int(month) - 1]} {int(day)}"
