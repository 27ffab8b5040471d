"""What the bytes of an image file say before they are decoded: its kind, whether it is whole, and how grey is stored.

OpenCV tells none of this, and left alone it turns 16 bits a pixel into 8 by dropping the lower half: a 12-bit camera's
picture comes out black.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_KINDS = {_JPEG: "JPEG", _PNG: "PNG", b"BM": "BMP"} | dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF")

# A marker of a JPEG; inside the compressed pixels, FF 00 is a plain FF and FF D0..D7 are restart points.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")

# Tags of a TIFF, and what stands where one is missing.
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _FORMAT = 258, 262, 277, 284, 339
_DEFAULTS = {_BITS: 1, _PHOTOMETRIC: 1, _SAMPLES: 1, _PLANAR: 1, _FORMAT: 1}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = range(3)
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_FORMATS = {2: "signed numbers", 3: "floating-point numbers", 5: "complex numbers", 6: "complex numbers"}


class Depth(NamedTuple):
    """How the grey values are stored.

    Args:
        bits: number of bits in a sample of a pixel.
        white_is_zero: 0 is white and the largest value black.
        trouble: why this cannot be shown as grey, None where it can.
    """

    bits: int = 8
    white_is_zero: bool = False
    trouble: str | None = None


def kind_of(data: bytes) -> str | None:
    """JPEG, PNG, BMP or TIFF by the first bytes, whatever the file is called; None for all else."""
    return next((name for magic, name in _KINDS.items() if data.startswith(magic)), None)


def is_whole(data: bytes, kind: str | None) -> bool:
    """Whether the end of a JPEG or PNG is there. True for other kinds: OpenCV refuses those by itself when cut."""
    # Decoders differ by version: some refuse a file that is cut short, some return its upper half.
    return {"JPEG": _jpeg_is_whole, "PNG": _png_is_whole}.get(kind or "", lambda _: True)(data)


def depth_of(data: bytes, kind: str | None) -> Depth:
    """How a PNG or TIFF (its first page) stores grey; 8 bits for other kinds, and where the header makes no sense."""
    if kind == "PNG":
        return Depth(16) if data[24:25] == b"\x10" else Depth()
    if kind != "TIFF":
        return Depth()
    try:
        tags = _DEFAULTS | _tiff_tags(data)
    except struct.error:  # cut short or damaged; decoding will tell
        return Depth()
    bits, photometric = tags[_BITS], tags[_PHOTOMETRIC]
    if kept := _FORMATS.get(tags[_FORMAT]):
        return Depth(bits, trouble=f"stores {bits}-bit {kept}, and nothing says which one is white")
    if bits > 16:
        return Depth(bits, trouble=f"stores {bits} bits a pixel, and nothing says which value is white")
    if bits > 8:
        # OpenCV would mix up planes that lie one behind the other, and take other colours for grey or RGB.
        grey = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and tags[_SAMPLES] == 1
        rgb = photometric == _RGB and tags[_SAMPLES] in (3, 4) and tags[_PLANAR] == 1
        if not grey and not rgb:
            return Depth(bits, trouble=f"stores colours or transparency in {bits} bits, in a way that cannot be read")
    return Depth(bits, photometric == _WHITE_IS_ZERO)


def _tiff_tags(data: bytes) -> dict[int, int]:
    """The first number of each tag of a TIFF's first page.

    Raises:
        struct.error: where the tags lie beyond the end.
    """
    order = "<" if data[:1] == b"I" else ">"
    big = data[2:4] in (b"+\0", b"\0+")  # BigTIFF: offsets of 8 bytes
    offset, count, room = ("Q", "Q", 8) if big else ("I", "H", 4)
    (position,) = struct.unpack_from(order + offset, data, 8 if big else 4)
    if position > len(data):  # too large for struct itself, maybe
        raise struct.error
    (entries,) = struct.unpack_from(order + count, data, position)
    position += struct.calcsize(count)
    tags = {}
    for _ in range(entries):
        tag, kind, values = struct.unpack_from(f"{order}HH{offset}", data, position)
        if tag in _DEFAULTS and kind in _INTEGERS and values:
            at = position + 4 + room
            if struct.calcsize(_INTEGERS[kind]) * values > room:  # does not fit here: an offset says where it is
                at = min(struct.unpack_from(order + offset, data, at)[0], len(data))
            (tags[tag],) = struct.unpack_from(order + _INTEGERS[kind], data, at)
        position += 4 + 2 * room
    return tags


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the end marker is there. Segments are stepped over, as a preview inside one has its own end marker."""
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        if marker[1] == b"\xd9":
            return True
        position = marker.end() + max(2, int.from_bytes(data[marker.end() : marker.end() + 2], "big"))
    return False


def _png_is_whole(data: bytes) -> bool:
    """Whether the chunks lead to a complete IEND. A chunk: 4 bytes of length, 4 of name, the content, 4 of checksum."""
    position = len(_PNG)
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":  # which has no content
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False
