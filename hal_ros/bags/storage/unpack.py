"""Unpacking what strangers packed: never more than was declared, and never more than is sane."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from hal_ros.core.errors import BagError

MEBIBYTE = 1 << 20
MOST_MESSAGE_BYTES = 256 * MEBIBYTE
"""Largest message that is read: a raw picture of 50 megapixels has 150 MB."""
MOST_CHUNK_BYTES = 256 * MEBIBYTE
"""Largest chunk of an MCAP file, packed or plain: recorders write them of 1 to 4 MB."""
MOST_DEFINITION_BYTES = 16 * MEBIBYTE
"""Largest schema, channel, metadata record or metadata.yaml."""
MOST_ATTACHMENT_BYTES = 512 * MEBIBYTE
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MOST_WINDOW_BYTES = 1 << 27
"""What a decoder keeps of the past: 128 MiB, as the zstd tool's own limit is."""
_BITE_BYTES = 1024
"""Packed bytes that are unpacked at once where the size is not known: they may become 100,000 times as many."""
_FREE_UNPACKED_BYTES, _USUAL_RATIO = 1024 * MEBIBYTE, 100
"""So much of a packed file may always be unpacked, and so many times its own size."""


class TooLargeError(ValueError):
    """Something is larger than it may be; the message says what and how large."""


def unpack(data: bytes, packing: str, most_bytes: int) -> bytes:
    """Return what was packed with zstd or lz4, or with "" not at all.

    Raises TooLargeError where it is more than most_bytes, ValueError or the library's own error where it is damaged.
    """
    if packing == "zstd":
        return _unpack_zstd(data, most_bytes)
    if packing == "lz4":
        unpacking = lz4.frame.LZ4FrameDecompressor()
        plain: bytes = unpacking.decompress(data, max_length=most_bytes + 1)
        _check(len(plain), most_bytes)
        if not unpacking.eof:
            raise ValueError("lz4 data ends too early")
        return plain
    if packing:
        raise ValueError(f"packed with {packing!r}; expected zstd or lz4")
    _check(len(data), most_bytes)
    return data


def _unpack_zstd(data: bytes, most_bytes: int) -> bytes:
    size = zstandard.frame_content_size(data)
    decoder = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW_BYTES)
    if size > 0:
        _check(size, most_bytes)
        return decoder.decompress(data)
    unpacking, parts, length = decoder.decompressobj(), list[bytes](), 0
    for start in range(0, len(data), _BITE_BYTES):
        parts.append(unpacking.decompress(data[start : start + _BITE_BYTES]))
        length += len(parts[-1])
        _check(length, most_bytes)
        if unpacking.eof:
            return b"".join(parts)
    raise ValueError("zstd data ends too early")


def _check(length: int, most_bytes: int) -> None:
    if length > most_bytes:
        raise TooLargeError(f"unpacks to more than {in_mebibytes(most_bytes)}")


def in_mebibytes(length: int) -> str:
    """Return a number of bytes in words."""
    return f"{length / MEBIBYTE:.0f} MiB" if length >= MEBIBYTE else f"{length} bytes"


def unpack_file(packed: Path, plain: Path) -> bool:
    """Unpack a zstd file into a new one as far as it goes; whether all of it could be.

    Raises BagError where nothing comes of it, or far more than a bag has, or the disk is full.
    """
    most = max(_FREE_UNPACKED_BYTES, _USUAL_RATIO * packed.stat().st_size)
    written, whole = 0, True
    try:
        with packed.open("rb") as source, plain.open("wb") as target:
            pieces = _unpacked_pieces(source)
            while True:
                try:
                    piece = next(pieces, None)
                except (zstandard.ZstdError, ValueError):
                    whole = False
                    break
                if piece is None:
                    break
                written += len(piece)
                _check_room(packed, written, most, target)
                target.write(piece)
    except OSError as error:
        raise BagError(f"{packed}: can't be unpacked ({error.strerror})") from error
    if not written:
        raise BagError(f"{packed}: can't be read as a bag (it unpacks to nothing); expected a bag's file in it")
    return whole


def _unpacked_pieces(source: BinaryIO) -> Iterator[bytes]:
    """Yield what zstd frames hold; raises at what is none and, at last, where the file ends amid one."""
    decoder, unpacking = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW_BYTES), None
    while bite := source.read(_BITE_BYTES):
        while bite:
            unpacking = decoder.decompressobj() if unpacking is None or unpacking.eof else unpacking
            yield unpacking.decompress(bite)
            bite = unpacking.unused_data if unpacking.eof else b""
    if unpacking is not None and not unpacking.eof:
        raise ValueError("zstd data ends too early")


def _check_room(packed: Path, written: int, most: int, target: BinaryIO) -> None:
    if written > most:
        raise BagError(
            f"{packed}: unpacks to more than {in_mebibytes(most)}; if it is no bomb, unpack it first: zstd -d"
        )
    if written % (64 * MEBIBYTE) < MEBIBYTE and shutil.disk_usage(target.name).free < 512 * MEBIBYTE:
        raise BagError(f"{packed}: can't be unpacked (less than 512 MiB are free in {Path(target.name).parent})")
