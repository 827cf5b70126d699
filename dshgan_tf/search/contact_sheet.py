"""Answers as one picture: a row a query, the query on the left, its neighbours with distance and name."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
import sys
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

CELL, MARGIN, LINE = 128, 8, 15  # pixels: side of a picture, space around it, height of a line of text
COLUMNS = 10  # neighbours side by side; more go on in the next line
FRAME = "#1f77b4"  # around the query
PARTS = 4096  # bytes of one of kitty's escape sequences


@dataclasses.dataclass(frozen=True)
class Cell:
    """A picture with two lines of text.

    Args:
        picture: any size.
        title: first line, such as the distance.
        name: second line; too long a name loses its middle.
    """

    picture: Image.Image
    title: str
    name: str


def draw_sheet(rows: Sequence[tuple[Cell, Sequence[Cell]]]) -> Image.Image:
    """Draw the answers to all queries.

    Args:
        rows: for each query its own cell and those of its neighbours, nearest first.

    Returns:
        The picture.
    """
    font = ImageFont.load_default(12)
    width, height = CELL + 2 * MARGIN, CELL + 2 * LINE + 2 * MARGIN
    lines = [max(1, -(-len(neighbours) // COLUMNS)) for _, neighbours in rows]
    columns = max([min(COLUMNS, len(neighbours)) for _, neighbours in rows], default=0)
    sheet = Image.new("RGB", ((1 + columns) * width + MARGIN, max(1, sum(lines)) * height), "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for (query, neighbours), count in zip(rows, lines, strict=True):
        _paste(sheet, draw, font, query, 0, top, FRAME)
        for i, cell in enumerate(neighbours):
            left = MARGIN + (1 + i % COLUMNS) * width
            _paste(sheet, draw, font, cell, left, top + i // COLUMNS * height, None)
        top += count * height
    return sheet


def _paste(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, cell: Cell, left: int, top: int,
    frame: str | None,
) -> None:  # fmt: skip
    picture = fit(cell.picture)
    x, y = left + MARGIN + (CELL - picture.width) // 2, top + MARGIN + (CELL - picture.height) // 2
    sheet.paste(picture, (x, y))
    if frame is not None:
        draw.rectangle((x - 3, y - 3, x + picture.width + 2, y + picture.height + 2), outline=frame, width=3)
    draw.text((left + MARGIN, top + MARGIN + CELL + 2), cell.title, "black", font)
    draw.text((left + MARGIN, top + MARGIN + CELL + 2 + LINE), _shorten(cell.name, font), "#555555", font)


def fit(picture: Image.Image) -> Image.Image:
    """Return a picture as large as a cell allows; the pixels of a small one stay visible squares."""
    picture = picture.convert("RGB")
    zoom = CELL // max(picture.size)
    if zoom > 1:
        return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
    picture.thumbnail((CELL, CELL))
    return picture


def _shorten(text: str, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(text) <= CELL:
        return text
    kept = len(text)
    while kept > 2 and font.getlength(f"{text[: kept // 2]}...{text[-(kept - kept // 2) :]}") > CELL:
        kept -= 1
    return f"{text[: kept // 2]}...{text[-(kept - kept // 2) :]}"


def shows_pictures() -> bool:
    """Return whether the terminal shows pictures in a way that is known here: kitty's or iTerm2's."""
    return sys.stdout.isatty() and (_is_kitty() or os.environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"))


def _is_kitty() -> bool:
    return os.environ.get("TERM") == "xterm-kitty" or "KITTY_WINDOW_ID" in os.environ


def show_inline(sheet: Image.Image) -> None:
    """Show a picture in a terminal for which `shows_pictures`."""
    file = io.BytesIO()
    sheet.save(file, "PNG")
    data = base64.standard_b64encode(file.getvalue()).decode()
    if not _is_kitty():
        sys.stdout.write(f"\033]1337;File=inline=1;preserveAspectRatio=1:{data}\a\n")
        return
    parts = [data[i : i + PARTS] for i in range(0, len(data), PARTS)]
    for i, part in enumerate(parts):
        control = f"{'a=T,f=100,' if i == 0 else ''}m={int(i + 1 < len(parts))}"
        sys.stdout.write(f"\033_G{control};{part}\033\\")
    sys.stdout.write("\n")
