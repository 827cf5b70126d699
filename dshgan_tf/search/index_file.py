"""The file of a Hamming index: a header of 256 bytes, the ids, the codes, and a checksum.

====================  =============================================================================
bytes                 content
====================  =============================================================================
256                   ``dshgan_tf.HammingIndex/2``, a newline, a JSON object with ``num_bits`` (K),
                      ``size`` (N) and ``next_id``, and spaces
8 N                   ids, int64 little-endian, ascending, from 0 to below ``next_id``
ceil(K/8) N           codes, in the order of the ids, zero padded bits
4                     CRC-32 of all bytes before, uint32 little-endian
====================  =============================================================================

The arrays lie in the file as they lie in memory, at multiples of 8 bytes, so that they can be mapped.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import BinaryIO, NamedTuple

import numpy as np

from dshgan_tf.codes import check_codes, code_width
from dshgan_tf.errors import InputError
from dshgan_tf.search.collectors import MAX_BITS

FORMAT = "dshgan_tf.HammingIndex/2"
HEADER = 256
CHUNK = 1 << 20  # numbers that are checked or written at a time


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        num_bits: K.
        next_id: above every id that was ever in the index.
        ids: (N,) int64, ascending.
        codes: (N, ceil(K/8)) uint8.
    """

    num_bits: int
    next_id: int
    ids: np.ndarray
    codes: np.ndarray


def write(file: BinaryIO, content: Content) -> None:
    """Write the whole content into an open file, in chunks."""
    about = {"num_bits": content.num_bits, "size": len(content.ids), "next_id": content.next_id}
    parts = [f"{FORMAT}\n{json.dumps(about)}".encode().ljust(HEADER)]
    checksum = 0
    for array in (content.ids.astype("<i8", copy=False), content.codes.reshape(-1)):
        parts += [array[start : start + CHUNK] for start in range(0, len(array), CHUNK)]
    for part in parts:
        data = part if isinstance(part, bytes) else part.tobytes()
        checksum = zlib.crc32(data, checksum)
        file.write(data)
    file.write(checksum.to_bytes(4, "little"))


def read(path: str | os.PathLike[str], memory_map: bool | None) -> tuple[Content, bool]:
    """Read and check a file.

    Args:
        path: the file.
        memory_map: leave the arrays on disk; None does so where they are larger than a quarter of the free memory.

    Returns:
        The content, and whether its arrays are mapped.

    Raises:
        FileNotFoundError: if there is no such file.
        InputError: if the file was not written by ``write``, or was damaged since.
    """
    with open(path, "rb") as file:
        try:
            return _read(file, memory_map)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{os.fspath(path)} is no HammingIndex file ({error}); write it with save.") from error


def _read(file: BinaryIO, memory_map: bool | None) -> tuple[Content, bool]:
    header = file.read(HEADER)
    name, _, about = header.partition(b"\n")
    if name != FORMAT.encode():
        raise InputError(f"it is not of format {FORMAT}")
    about = json.loads(about)
    num_bits, size, next_id = (about[key] for key in ("num_bits", "size", "next_id"))
    if any(type(number) is not int or number < 0 for number in (num_bits, size, next_id)) or num_bits > MAX_BITS:
        raise InputError(f"its header says {about}")
    width = code_width(num_bits)
    rest = size * (8 + width)
    bytes_found = os.fstat(file.fileno()).st_size
    if bytes_found != HEADER + rest + 4:
        raise InputError(f"it has {bytes_found} bytes and not {HEADER + rest + 4}")
    if memory_map is None:
        memory_map = rest > _free_memory() / 4
    if memory_map and size:
        ids = np.asarray(np.memmap(file, "<i8", "r", HEADER, size))
        codes = np.asarray(np.memmap(file, np.uint8, "r", HEADER + 8 * size, (size, width)))
        file.seek(HEADER + rest)
    else:
        ids = np.fromfile(file, "<i8", size)
        codes = np.fromfile(file, np.uint8, size * width).reshape(size, width)
    content = Content(num_bits, next_id, ids.astype(np.int64, copy=False), codes)
    _check(content, zlib.crc32(header), file.read(4))
    return content, memory_map


def _check(content: Content, checksum: int, expected: bytes) -> None:
    """Raise ValueError where the arrays are not those of an index, or not those that were written."""
    ids, codes = content.ids, content.codes
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK + 1]  # one of the next, to compare with
        if np.any(part[1:] <= part[:-1]):
            raise InputError("its ids do not ascend")
        checksum = zlib.crc32(part[:CHUNK].astype("<i8", copy=False), checksum)
    if len(ids) and (ids[0] < 0 or ids[-1] >= content.next_id):
        raise InputError(f"its ids lie in {ids[0]}..{ids[-1]} and not in 0..{content.next_id - 1}")
    rows = max(1, CHUNK // codes.shape[1])
    for start in range(0, len(codes), rows):
        part = check_codes(codes[start : start + rows], content.num_bits)
        checksum = zlib.crc32(part, checksum)
    if checksum.to_bytes(4, "little") != expected:
        raise InputError("its checksum is another")


def _free_memory() -> float:
    """Return the bytes that programs may still take; infinite where the system does not say."""
    free = float("inf")
    try:
        with open("/proc/meminfo") as file:
            free = 1024.0 * next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
        with open("/sys/fs/cgroup/memory.max") as file:  # of a container
            free = min(free, float(file.read()))
    except (OSError, ValueError, StopIteration):
        pass  # another system, or no limit ("max")
    return free
