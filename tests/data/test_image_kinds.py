"""Every way of storing grey: 16 bits in TIFF and PNG, colour, palettes, transparency, and what cannot be read."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from steel_defects.data.image_header import Depth, depth_of, kind_of
from steel_defects.data.images import ImageError, read_grey

ORDERS = {"little endian": "<", "big endian": ">"}


@pytest.fixture(scope="module")
def deep():
    """uint16 [48, 90] with every range of values, 0 and 65535 included."""
    values = np.random.default_rng(0).integers(0, 65536, (48, 90)).astype(np.uint16)
    values[0, :6] = 0, 1, 128, 129, 65535, 4095
    return values


@pytest.fixture
def read(tmp_path):
    """Read bytes as a file, so that nothing but their content tells what they are."""

    def write_and_read(data: bytes, white: int | None = None) -> np.ndarray:
        path = tmp_path / "x"
        path.write_bytes(data)
        image = read_grey(path, white)
        assert image.dtype == np.uint8
        assert image.ndim == 2
        return image

    return write_and_read


def encoded(image: np.ndarray, suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, image, list(options))[1].tobytes()


def saved(image: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def tiff(image: np.ndarray, order: str = "<", tags: dict[int, int] | None = None, body: bytes | None = None) -> bytes:
    """A TIFF by hand: tags first, then one strip; `tags` overrides what they say."""
    height, width, samples = (*image.shape, 1)[:3]
    body = image.astype(image.dtype.newbyteorder(order)).tobytes() if body is None else body
    bits = image.dtype.itemsize * 8
    said = {256: width, 257: height, 258: bits, 259: 1, 262: 1 if samples == 1 else 2, 273: 0, 277: samples}
    said |= {278: height, 279: len(body), 284: 1} | (tags or {})
    bits_at = 8 + 2 + 12 * len(said) + 4
    said |= {273: bits_at + 2 * samples}
    entries = struct.pack(order + "H", len(said))
    for tag, value in sorted(said.items()):
        if tag == 258 and samples > 2:  # no room for all of them in the entry
            entries += struct.pack(order + "HHII", tag, 3, samples, bits_at)
        elif tag == 258:
            entries += struct.pack(order + "HHIHH", tag, 3, samples, value, value)
        else:
            entries += struct.pack(order + "HHII", tag, 4, 1, value)
    bits_of_all = struct.pack(order + "H", said[258]) * samples
    return {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8) + entries + bytes(4) + bits_of_all + body


def scaled(values: np.ndarray, white: int = 65535) -> np.ndarray:
    return np.clip(np.floor(values.astype(np.float64) / white * 255 + 0.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("white", [None, 65535, 4095, 1023, 1])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF of PIL", "deflated TIFF", "BigTIFF", *ORDERS])
def test_16_bits(read, deep, kind, white):
    data = {
        "PNG": lambda: encoded(deep, ".png"),
        "TIFF": lambda: encoded(deep, ".tif"),
        "TIFF of PIL": lambda: saved(deep, "TIFF"),
        "deflated TIFF": lambda: saved(deep, "TIFF", compression="tiff_adobe_deflate"),
        "BigTIFF": lambda: saved(deep, "TIFF", big_tiff=True),
        "little endian": lambda: tiff(deep, "<"),
        "big endian": lambda: tiff(deep, ">"),
    }[kind]()
    np.testing.assert_array_equal(read(data, white), scaled(deep, white or 65535))


def test_camera_of_12_bits(read):
    """4095 is white, half of it is middle grey; without `white` the same picture is nearly black."""
    values = np.array([[0, 2048, 4095, 5000]], np.uint16)
    assert read(encoded(values, ".tif"), 4095).tolist() == [[0, 128, 255, 255]]
    assert read(encoded(values, ".png")).max() < 20


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("white", [None, 4095])
def test_16_bit_colour(read, deep, suffix, white, alpha):
    colours = np.stack([deep, deep.T.reshape(48, 90), deep[::-1]], axis=-1) // (1 if white is None else 16)
    stored = np.dstack([colours, np.full_like(deep, 77)]) if alpha else colours
    weighed = colours @ [0.114, 0.587, 0.299]  # blue first
    got = read(encoded(stored, suffix), white)
    assert np.abs(got - weighed / (white or 65535) * 255).max() < 0.6


def test_white_is_zero(read, deep):
    np.testing.assert_array_equal(read(tiff(deep, tags={262: 0})), 255 - scaled(deep))
    np.testing.assert_array_equal(read(tiff(deep, tags={262: 0}), 4095), 255 - scaled(deep, 4095))
    low = (deep >> 8).astype(np.uint8)
    np.testing.assert_array_equal(read(tiff(low, tags={262: 0})), 255 - low)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_samples(read, bits):
    values = np.arange(48 * 88).reshape(48, 88) * 7 % (1 << bits)
    body = int("".join(f"{value:0{bits}b}" for value in values.ravel()), 2).to_bytes(values.size * bits // 8, "big")
    data = tiff(values.astype(np.uint16), tags={258: bits}, body=body)
    np.testing.assert_array_equal(read(data), scaled(values, (1 << bits) - 1))
    np.testing.assert_array_equal(read(data, 1000), scaled(values, 1000))


def kinds_of_8_bits():
    grey = np.arange(48 * 90).reshape(48, 90).astype(np.uint8)
    colour = Image.fromarray(np.stack([grey, grey // 2, grey // 3], axis=-1))
    palette, one_bit = colour.convert("P", palette=Image.Palette.ADAPTIVE), Image.fromarray(grey > 99)
    files = {f"{kind} 1 bit": saved(one_bit, kind) for kind in ("PNG", "TIFF", "BMP")}
    files |= {f"{kind} palette": saved(palette, kind) for kind in ("PNG", "TIFF", "BMP")}
    files |= {f"{kind} grey": saved(grey, kind) for kind in ("PNG", "TIFF", "BMP", "JPEG")}
    files |= {f"{kind} alpha": saved(colour.convert("RGBA"), kind) for kind in ("PNG", "TIFF", "BMP")}
    files |= {f"{kind} grey alpha": saved(Image.fromarray(grey).convert("LA"), kind) for kind in ("PNG", "TIFF")}
    files |= {f"{kind} CMYK": saved(colour.convert("CMYK"), kind) for kind in ("JPEG", "TIFF")}
    files["TIFF fax"] = saved(one_bit, "TIFF", compression="group4")
    files["TIFF with JPEG inside"] = saved(colour, "TIFF", compression="jpeg")
    files["TIFF pages"] = saved(grey, "TIFF", save_all=True, append_images=[Image.fromarray(255 - grey)])
    return files


KINDS = kinds_of_8_bits()


@pytest.mark.parametrize("white", [None, 100])
@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_8_bits_are_as_opencv_reads_them(read, data, white):
    plain = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    assert plain.shape == (48, 90)
    np.testing.assert_array_equal(read(data, white), plain)


def test_8_bits_look_right(read):
    """Against Pillow, which weighs colours alike; CMYK is turned to colours by the simple formula."""
    for name, data in KINDS.items():
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").convert("L")).astype(int)
        worst = 6 if "JPEG" in name or "CMYK" in name else 2
        assert np.abs(read(data) - expected).max() <= worst, name


def test_first_page_of_several(read, deep):
    data = saved(deep, "TIFF", save_all=True, append_images=[Image.fromarray(65535 - deep)])
    np.testing.assert_array_equal(read(data), scaled(deep))


def refused(deep):
    real = (deep / 65535).astype(np.float32)
    colours = np.stack([deep] * 3, axis=-1)
    return {
        "32-bit floating-point": encoded(real, ".tif"),
        "64-bit floating-point": encoded(real.astype(np.float64), ".tif"),
        "16-bit floating-point": tiff(real.astype(np.float16), tags={339: 3}),
        "16-bit signed": encoded(deep.astype(np.int16), ".tif"),
        "8-bit signed": tiff(deep.astype(np.int8), tags={339: 2}),
        "stores 32 bits": tiff(deep.astype(np.uint32), ">"),
        "colours or transparency": tiff(np.dstack([deep, deep])),  # grey and alpha
        "colours or transparency in 16": tiff(colours, tags={284: 2}),  # plane after plane
        "colours or transparency in 16 bits": tiff(colours, tags={262: 8}),  # Lab
        "transparency in 16 bits": tiff(np.dstack([colours, deep]), tags={262: 5}),  # CMYK
        "11 bits": tiff(deep, tags={258: 11}),
    }


def test_what_has_no_grey_is_refused(read, deep):
    for words, data in refused(deep).items():
        with pytest.raises(ImageError, match=r"save it as grey|damaged") as caught:
            read(data)
        assert words in str(caught.value) or words == "11 bits"


@pytest.mark.parametrize("white", [0, -1, 65536])
def test_white_out_of_range(read, white):
    with pytest.raises(ValueError, match="from 1 to 65535"):
        read(KINDS["PNG grey"], white)


def whole_files():
    noise = np.random.default_rng(1).integers(0, 256, (48, 90)).astype(np.uint8)
    wide = noise.astype(np.uint16) * 257
    colour = np.stack([noise] * 3, axis=-1)
    return {
        "TIFF, tags first": tiff(noise),
        "16-bit TIFF, tags first": tiff(wide),
        "big endian": tiff(wide, ">"),
        "TIFF of OpenCV": encoded(noise, ".tif"),
        "16-bit TIFF of OpenCV": encoded(wide, ".tif"),
        "TIFF of PIL": saved(wide, "TIFF"),
        "LZW": saved(noise, "TIFF", compression="tiff_lzw"),
        "deflate": saved(wide, "TIFF", compression="tiff_adobe_deflate"),
        "JPEG inside": saved(colour, "TIFF", compression="jpeg"),
        "BigTIFF": saved(wide, "TIFF", big_tiff=True),
        "two pages": saved(noise, "TIFF", save_all=True, append_images=[Image.fromarray(noise)]),
        "BMP": encoded(noise, ".bmp"),
        "colour BMP": encoded(colour, ".bmp"),
        "1-bit BMP": saved(Image.fromarray(noise > 99), "BMP"),
        "run-length BMP": run_length_bmp(noise),
        "16-bit PNG": encoded(wide, ".png"),
    }


def run_length_bmp(image: np.ndarray) -> bytes:
    height, width = image.shape
    lines = (b"".join(bytes([1, value]) for value in line) + b"\0\0" for line in image[::-1])
    body = b"".join(lines) + b"\0\1"
    palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + palette + body


@pytest.mark.parametrize("name", whole_files())
def test_cut_anywhere_it_is_refused_or_complete(read, name):
    data = whole_files()[name]
    whole = read(data)
    refusals = []
    for length in [*range(1, len(data), max(1, len(data) // 97)), *range(len(data) - 9, len(data))]:
        try:
            np.testing.assert_array_equal(read(data[:length]), whole)
        except ImageError as error:
            refusals.append(str(error))
    assert all("cut short" in message or "not an image" in message for message in refusals)
    assert len(refusals) > (40 if name == "two pages" else 90)


def test_header_that_claims_too_many_pixels(read):
    small = np.zeros((48, 90), np.uint8)
    bitmap = encoded(small, ".bmp")
    sizes = [(900_000, 900_000), (90, 2**31 - 1), (2**31 - 1, 2), (90, 96), (90, -(2**31)), (20_000, 20_000)]
    files = [bitmap[:18] + struct.pack("<ii", *size) + bitmap[26:] for size in sizes]
    files += [tiff(small, tags={256: width, 257: abs(height), 278: abs(height)}) for width, height in sizes]
    files += [tiff(small.astype(np.uint16), tags={256: 60_000, 257: 60_000, 278: 60_000})]
    for data in files:
        with pytest.raises(ImageError, match=r"is a damaged (BMP|TIFF), or cut short"):
            read(data)


def test_tags_of_a_damaged_tiff(read):
    """Whatever the header says, the answer is a picture or an ImageError."""
    data = tiff(np.zeros((4, 4), np.uint16))
    assert depth_of(data, "TIFF") == Depth(16)
    rng = np.random.default_rng(2)
    for _ in range(2000):
        damaged = bytearray(data)
        for position in rng.integers(4, 140, rng.integers(1, 5)):
            damaged[position] = rng.integers(256)
        depth_of(bytes(damaged), kind_of(damaged))
    for position in range(4, 140):
        damaged = data[:position] + b"\xff" + data[position + 1 :]
        try:
            read(damaged)
        except ImageError:
            continue
