"""Raw pictures of 1280x720, ready to be sent or written."""

from __future__ import annotations

import numpy as np

from hal_ros.bags.messages import header_message, serialise
from hal_ros.sim.messages import image

WIDTH_PX, HEIGHT_PX = 1280, 720
DIFFERENT = 4  # pictures


def messages() -> list[bytes]:
    """Return different pictures as messages; their noise does not compress."""
    random = np.random.default_rng(0)
    shape = HEIGHT_PX, WIDTH_PX, 3
    return [serialise(image(random.integers(0, 256, shape, np.uint8), header_message(1, ""))) for _ in range(DIFFERENT)]
