"""A node that waits says nothing before all who are to listen do, and says who never came."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hal_ros.ros.subscribers import wait_for_subscribers


class Counted:
    """A publisher whose subscribers come one at each look, up to `most`."""

    def __init__(self, topic_name: str, most: int) -> None:
        self.topic_name, self.count, self._most = topic_name, -1, most

    def get_subscription_count(self) -> int:
        self.count = min(self.count + 1, self._most)
        return self.count


def never() -> bool:
    return False


def test_each_topic_waits_for_as_many_as_it_needs() -> None:
    image, truth = Counted("/image", 9), Counted("/truth", 9)
    assert wait_for_subscribers([image, truth], {"/image"}, 60.0, never) == ""
    assert image.count >= 2 and truth.count >= 1


@pytest.mark.parametrize(("wait_s", "pause"), [(0.0, never), (60.0, lambda: True)])
def test_it_does_not_wait_for_ever(wait_s: float, pause: Callable[[], bool]) -> None:
    found = wait_for_subscribers([Counted("/image", 1), Counted("/truth", 1)], {"/image"}, wait_s, pause)
    assert found == ("" if wait_s else "begins, though after 0 s not all who were to listen do so on /image, /truth")


def test_who_never_comes_is_named() -> None:
    looks = iter([False, False, True])
    image = Counted("/image", 1)
    assert wait_for_subscribers([image], {"/image"}, 60.0, lambda: next(looks)) == ""
    found = wait_for_subscribers([image, Counted("/truth", 1)], {"/image"}, 0.0, never)
    assert "on /image, /truth" in found
