"""rich's Console for text of others: no name in a bag is markup, an emoji's code or an escape sequence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from hal_ros.core.printable import printable
from hal_ros.outside.terminal import plain


class PrintableConsole(Console):
    """Writes what rich draws, with every text in it printable. Markup is off: a bundle may be called `[/x]`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **settings})

    @property
    def file(self) -> IO[str]:
        """Where the drawn text goes; the escapes in it are rich's own."""
        return plain(super().file)  # type: ignore[no-any-return]

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return the text, printable before it is measured."""
        return super().render_str(printable(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is drawn; what got past `render_str`, as Text of a table's cell does, is made printable here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
