"""A code as a small picture: a square a bit."""

from __future__ import annotations

import numpy as np

from dshgan_tf.codes import pack

CELL, GAP, MARGIN = 16, 6, 2  # pixels: side of a square, space between bytes, space around all
ZERO, ONE, DIFFERENT = (226, 232, 240), (30, 64, 175), "#dc2626"  # colours of the bits, frame of those that differ


def draw_bits(relaxed_code: np.ndarray, other: np.ndarray | None = None) -> str:
    """Draw a code: dark squares are ones, light ones zeros; the less sure a bit, the nearer its shade to the other's.

    Args:
        relaxed_code: (K,) in [0, 1], or the bits themselves.
        other: (K,) bits of another code; squares that differ from it are framed.

    Returns:
        SVG for an HTML page, with the value of each bit as a tooltip.
    """
    bits = np.asarray(relaxed_code) > 0.5
    row = 16 if len(bits) <= 64 else 32
    squares = []
    for position, value in enumerate(relaxed_code):
        line, column = divmod(position, row)
        x, y = MARGIN + column * CELL + column // 8 * GAP, MARGIN + line * CELL
        shade = 0.2 + 0.8 * float(value) if bits[position] else 0.5 * float(value)  # a jump between zeros and ones
        red, green, blue = (round(low + shade * (high - low)) for low, high in zip(ZERO, ONE, strict=True))
        frame = ""
        if other is not None and bits[position] != other[position]:
            frame = f' stroke="{DIFFERENT}" stroke-width="3"'
        squares.append(
            f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" rx="2" '
            f'fill="rgb({red},{green},{blue})"{frame}><title>bit {position}: {int(bits[position])} '
            f"({float(value):.2f})</title></rect>"
        )
    width = 2 * MARGIN + min(row, len(bits)) * CELL + (min(row, len(bits)) - 1) // 8 * GAP
    height = 2 * MARGIN + -(-len(bits) // row) * CELL
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="code {to_hex(bits)}">{"".join(squares)}</svg>'
    )


def to_hex(bits: np.ndarray) -> str:
    """Return bits (K,) in hexadecimal digits, as `dshgan encode` prints them."""
    return pack(np.asarray(bits)[None] > 0)[0].tobytes().hex()
