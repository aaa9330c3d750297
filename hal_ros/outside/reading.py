"""Files of others, read within limits: whatever is in one, the reader gets it whole or raises one HalError.

A file is a regular one and no larger than what it is for; a device or a pipe of that name is never read.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hal_ros.core.errors import HalError
from hal_ros.core.printable import one_line

MIB = 1 << 20
LONGEST_REASON = 240


@dataclass(frozen=True)
class Expected:
    """What a file is to be: the error for one that is not, what it is in words, and how large it may be."""

    error: type[HalError]
    what: str
    most_bytes: int = 16 * MIB


@contextmanager
def reading(path: Path, expected: Expected) -> Iterator[None]:
    """Turn whatever goes wrong inside into one error that names the file. Wrap reading and understanding alone.

    Every kind of exception is meant: libraries and our own code meet a stranger's bytes here, and nobody can list what
    they raise on all of them.
    """
    try:
        yield
    except HalError:
        raise
    except OSError as error:
        raise expected.error(f"{path}: can't be read ({reason(error)}); expected {expected.what}") from error
    except Exception as error:
        raise expected.error(f"{path}: can't be read as {expected.what} ({reason(error)})") from error


def reason(error: BaseException) -> str:
    """Return what an exception says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x} at {error.start} is not UTF-8"
    if isinstance(error, RecursionError | MemoryError):
        return "nested too deep" if isinstance(error, RecursionError) else "too large for the memory"
    text = " ".join(str(error).split())
    named = f"no {text}" if isinstance(error, KeyError) else text
    return one_line(named or type(error).__name__, LONGEST_REASON)


@contextmanager
def opened(path: Path, expected: Expected) -> Iterator[IO[bytes]]:
    """Open a regular file of a permitted size. Raises what `expected` says for any other, also from the block."""
    with reading(path, expected):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe that nobody writes would wait
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("is no regular file")
            if status.st_size > expected.most_bytes:
                raise ValueError(f"has {status.st_size} bytes, expected at most {expected.most_bytes}")
            yield file


def read_bytes(path: Path, expected: Expected) -> bytes:
    """Return a file's bytes; raises what `expected` says."""
    with opened(path, expected) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # Python takes memory for all that it is asked for


def read_text(path: Path, expected: Expected) -> str:
    """Return a file's text, UTF-8 with or without a byte-order mark; raises what `expected` says."""
    content = read_bytes(path, expected)
    with reading(path, expected):
        return content.decode("utf-8-sig")


def read_json(path: Path, expected: Expected) -> Any:
    """Return the value in a JSON file, each key of an object once; raises what `expected` says."""
    text = read_text(path, expected)
    with reading(path, expected):
        return parse_json(text)


def parse_json(text: str | bytes) -> Any:
    """Return a JSON text's value; ValueError for none, and for a key that comes twice, of which json keeps the last."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("is not JSON: nested too deep") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"has key {key!r} twice; expected each key once")
        found[key] = value
    return found
