"""Reading image files as grey pictures, telling a sound file from a broken one, and looking at many of them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from steel_defects.errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
THUMBNAIL = 32  # pixels a side

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_KINDS = {_JPEG: "JPEG", _PNG: "PNG", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}

# A marker of a JPEG; inside the compressed pixels, FF 00 is a plain FF and FF D0..D7 are restart points.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")

# What goes wrong is told by ImageError; OpenCV's own lines on stderr would tear the progress bar and name no file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class ImageError(UserError):
    """A file that cannot be read as an image. The message does not name the file: the caller knows it."""


def read_grey(path: Path) -> np.ndarray:
    """Read an image as grey, whatever its ending says, in the pixels as stored.

    A turn noted in the EXIF data is not applied, because labels count the pixels as stored.

    Returns:
        uint8 [height, width].

    Raises:
        ImageError: where the file is missing, empty, cut short, damaged or no image.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError("does not exist") from None
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror or error})") from None
    if not data:
        raise ImageError("is empty (0 bytes)")

    kind = next((name for magic, name in _KINDS.items() if data.startswith(magic)), None)
    # Decoders differ by version: some refuse a file that is cut short, some return its upper half.
    if (kind == "JPEG" and not _jpeg_is_whole(data)) or (kind == "PNG" and not _png_is_whole(data)):
        raise ImageError(f"is cut short: the end of the {kind} is missing after {len(data):,} bytes; fetch it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        if kind is None:
            raise ImageError(f"is not an image{_beginning(data)}")
        raise ImageError(f"is a damaged {kind}, or cut short; fetch it again")
    return image


def resize_grey(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a grey image, uint8 [H, W], to `size` (height, width)."""
    height, width = size
    # Averaging areas when shrinking keeps thin defects; when growing it would only repeat pixels. OpenCV averages
    # only where neither side grows, so sides are shrunk first and then grown.
    shrunk = min(image.shape[0], height), min(image.shape[1], width)
    if image.shape != shrunk:
        image = cv2.resize(image, shrunk[::-1], interpolation=cv2.INTER_AREA)
    if image.shape != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image


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


def _beginning(data: bytes) -> str:
    """The first word of a text: an error page saved under an image's name is known by it."""
    words = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:20].split()
    word = words[0].decode("ascii", "replace") if words else ""
    return f" (begins with {word!r})" if word.isascii() and word.isprintable() and word else ""


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of an image once it was decoded.

    Args:
        size: (height, width) in pixels.
        thumbnail: uint8 [32, 32], the grey image made small by averaging.
        digest: hex digest of shape and grey pixels.
    """

    size: tuple[int, int]
    thumbnail: np.ndarray
    digest: str


def look_at_all(
    paths: Mapping[str, Path], workers: int | None = None, progress: bool = True
) -> Iterator[tuple[str, Look | ImageError]]:
    """Decode every image once, in threads: OpenCV lets go of the interpreter meanwhile.

    Args:
        paths: id -> file.
        workers: threads; None takes one a core.
        progress: show a bar, if the output is a terminal.

    Yields:
        each id in the order given, with what is kept of its image, or with what is wrong with its file.
    """
    threads = max(1, workers if workers is not None else min(16, os.cpu_count() or 1))
    pool = ThreadPoolExecutor(threads)
    try:
        looks = pool.map(_look_at, paths.values())
        bar = tqdm(looks, "Checking images", len(paths), unit="image", disable=None if progress else True)
        yield from zip(paths, bar, strict=True)
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for all the rest


def _look_at(path: Path) -> Look | ImageError:
    try:
        image = read_grey(path)
    except ImageError as error:
        return error.with_traceback(None)  # a traceback would keep the file's bytes in memory
    digest = hashlib.blake2b(np.array(image.shape, "<i8").tobytes(), digest_size=16)
    digest.update(np.ascontiguousarray(image))
    thumbnail = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return Look((image.shape[0], image.shape[1]), thumbnail, digest.hexdigest())
