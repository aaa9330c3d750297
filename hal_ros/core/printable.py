"""Text of others made fit to be shown: names in bags, bundles and labels must not steer the reader's terminal."""

from __future__ import annotations

import re

# Control characters, and those that are not seen but reorder or hide what stands beside them (Unicode TR 36, "Trojan
# Source"), half characters, and line ends that only some programs know. What joins letters and emoji (U+200C, U+200D)
# is harmless, and words need it.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_KEPT = {"\n", "\t"}
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


def printable(text: str) -> str:
    """Return the text with every character that steers a terminal written out, as \\x1b; lines and tabs stay."""
    return _STEERING.sub(lambda found: found[0] if found[0] in _KEPT else _written_out(found[0]), text)


def one_line(text: str, most: int = 0) -> str:
    """Return the text as `printable` does, line ends written out too; cut to `most` characters where that is given."""
    shown = _STEERING.sub(lambda found: _written_out(found[0]), text if not most else text[: most + 1])
    return shown if not most or len(shown) <= most else f"{shown[: most - 1]}…"


def _written_out(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
