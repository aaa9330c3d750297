"""Who must listen before a node says its first word: where we start both ends, nothing is said to nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

WAIT = "Seconds to wait at most until each topic that is published has a subscriber."
POLL_S = 0.02
"""How often is looked by those who have nothing else to do."""
TWICE = "Topics that wait for two subscribers then, as that of a model's camera does for segmenter and recorder."


def wait_for_subscribers(
    publishers: Iterable[Any], twice: Collection[str], wait_s: float, pause: Callable[[], bool]
) -> str:
    """Wait until each publisher has a subscriber, and two where its full topic is among `twice`.

    `pause` lets a moment pass and says whether to give up. Returns '', or who is not heard after so many seconds.
    """
    publishers, ends_s = list(publishers), time.monotonic() + wait_s
    while unheard := [one.topic_name for one in publishers if not _is_heard(one, twice)]:
        if time.monotonic() >= ends_s:
            return f"begins, though after {wait_s:g} s not all who were to listen do so on {', '.join(unheard)}"
        if pause():
            break
    return ""


def _is_heard(publisher: Any, twice: Collection[str]) -> bool:
    return int(publisher.get_subscription_count()) > (publisher.topic_name in twice)
