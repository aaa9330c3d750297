"""Due pictures to what the encoder takes, each once, whoever reads the pixels off a message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from hal_ros.core import image
from hal_ros.core.arrays import ByteArray
from hal_ros.core.errors import ImageError
from hal_ros.core.streams import counts
from hal_ros.core.streams.intake import Due
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.spec import StreamSpec

ToRgb = Callable[[Any], ByteArray]
"""Returns the pixels (H, W, 3) uint8 RGB of a message; raises ImageError."""


class PictureConverter:
    """Pixels of due pictures, each converted once: one that serves two ticks is the same array at both.

    `last_errors` is by camera why its newest picture could not be converted, '' after a good one; `sizes_px` is the
    width and height of its newest picture.
    """

    def __init__(self, spec: StreamSpec, to_rgb: ToRgb, counters: Counter[str]) -> None:
        self.last_errors = dict.fromkeys(spec.cameras, "")
        self.sizes_px: dict[str, tuple[int, int]] = {}
        self._spec, self._to_rgb, self._counters = spec, to_rgb, counters
        self._newest: dict[str, tuple[TimedPicture, ByteArray | None]] = {}

    def convert(self, due: Due) -> Mapping[str, ByteArray | None] | None:
        """Return the pictures of a tick by camera; None, and counted, where that of the clock can't be converted."""
        pictures = {name: self._once(name, picture) for name, picture in due.pictures.items()}
        return None if self._spec.clock in pictures and pictures[self._spec.clock] is None else pictures

    def _once(self, name: str, picture: TimedPicture | None) -> ByteArray | None:
        if picture is None:
            return None
        before = self._newest.get(name)
        if before is not None and before[0] is picture:
            return before[1]
        converted = self._converted(name, picture)
        self._newest[name] = picture, converted
        return converted

    def _converted(self, name: str, picture: TimedPicture) -> ByteArray | None:
        try:
            rgb = self._to_rgb(picture.message)
            height, width = rgb.shape[:2]
            self.sizes_px[name] = width, height
            converted = image.to_input(rgb, self._spec.cameras[name])
        except ImageError as error:
            self._refuse(name, str(error))
            return None
        except Exception as error:  # noqa: BLE001  # whatever a picture holds, the next good one is answered
            self._refuse(name, f"picture can't be converted: {type(error).__name__}: {error}")
            return None
        self.last_errors[name] = ""
        return converted

    def _refuse(self, name: str, why: str) -> None:
        self._counters[counts.key(name, counts.UNREADABLE)] += 1
        self.last_errors[name] = " ".join(why.split())
