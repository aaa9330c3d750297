"""Writing pictures: each says that hal made it, so that a user's own file of that name is told from an older one."""

from __future__ import annotations

from pathlib import Path

from hal_ros.outside import outputs

MARK = "<!-- made by hal_ros -->"
IS_PICTURE = outputs.has_mark(MARK)


def write_svg(path: Path, svg: str) -> None:
    """Write a picture of SVG text, in place of an older one of hal's; ConfigError where something else lies."""
    head, tag, rest = svg.partition("<svg")
    attributes, end, body = rest.partition(">")
    outputs.replace_text(path, f"{head}{tag}{attributes}{end}{MARK}{body}", IS_PICTURE, "a picture")
