"""Sixteen colours that a person tells apart and can read letters on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from hal_ros.core.palette import DARK, HUES, SHADES


def light(colour: str) -> NDArray[np.float64]:
    """The colour's share of each primary's light, (3,) of 0 to 1 as sRGB defines it."""
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour: str) -> NDArray[np.float64]:
    """CIE L*a*b* under daylight, (3,); a distance of 2.3 is just noticed."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ light(colour) / (0.9505, 1, 1.0888))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_all_colours_are_far_apart() -> None:
    distances = [np.linalg.norm(lab(a) - lab(b)) for a, b in itertools.combinations((*HUES, *SHADES), 2)]
    assert min(distances) > 15


@pytest.mark.parametrize("colour", [*HUES, *SHADES])
def test_letters_are_readable(colour: str) -> None:
    luminance = float(light(colour) @ (0.2126, 0.7152, 0.0722))
    contrast = 1.05 / (luminance + 0.05) if colour in DARK else (luminance + 0.05) / 0.05
    assert contrast > 3  # what WCAG asks of large or bold text


def test_a_shade_is_its_hue_with_less_light() -> None:
    for hue, shade in zip(HUES, SHADES, strict=True):
        values, darker = (np.array([int(c[place : place + 2], 16) for place in (1, 3, 5)]) for c in (hue, shade))
        assert np.abs(0.6 * values - darker).max() <= 1
