"""Laws of writing pictures: an older one of hal's gives way, a user's file never does."""

from pathlib import Path

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.report import plots
from hal_ros.report.svg_files import MARK, write_svg

SVG = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="{}"><g/></svg>'


def test_a_picture_says_whose_it_is_and_gives_way_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.svg"
    for width in (1, 2):
        write_svg(path, SVG.format(width))
        assert path.read_text() == SVG.format(width).replace("><g/>", f">{MARK}<g/>")


def test_a_users_picture_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_text(SVG.format(3))
    with pytest.raises(ConfigError, match=r"a\.svg: is there already and is not a picture that hal wrote"):
        write_svg(path, SVG.format(1))
    assert path.read_text() == SVG.format(3)


def test_plots_are_such_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "plot.svg"
    for _ in range(2):
        figure, axes = plots.figure(2, 1)
        axes[0, 0].plot([0, 1], [0, 1])
        plots.write(figure, path)
    text = path.read_text()
    assert MARK in text and not any(line.endswith(" ") for line in text.splitlines())
