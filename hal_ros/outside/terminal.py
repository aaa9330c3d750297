"""What a program prints, made printable in one place: whoever calls `print` need not think of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from hal_ros.core.printable import printable


class PrintableStream:
    """A stream that writes printable text into another one, which is all else that it is."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write the text, printable."""
        return self.stream.write(printable(text))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all lines, printable."""
        for line in lines:
            self.write(line)


def plain(stream: Any) -> Any:
    """Return the stream below, for what steers the terminal itself and has made its text printable."""
    return stream.stream if isinstance(stream, PrintableStream) else stream


@contextmanager
def printable_output() -> Iterator[None]:
    """Make all printable that this process writes to stdout and stderr meanwhile; inside another one, nothing new."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", PrintableStream(plain(stream))) if stream else stream for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
