"""What is known: the newest for whoever asks, and every step for whoever waits."""

from __future__ import annotations

from hal_ros.core.planning.known import LastKnown
from hal_ros.core.segmenter import OpenSegment
from hal_ros.runtime.bulletin import MOST_LIVES, MOST_NEWS, Bulletin, Lifelong

SEGMENT = OpenSegment(1, 3, 100, 200, 0.5)


def test_news_are_kept_only_for_those_who_wait() -> None:
    woken: list[int] = []
    bulletin = Bulletin(lambda: woken.append(1))
    bulletin.tell(LastKnown(SEGMENT, 300, "camera"))
    assert (bulletin.newest.label_ns, bulletin.take(), woken) == (300, [], [])
    bulletin.awaited = True
    steps = [LastKnown(SEGMENT, 400 + step, "camera") for step in range(3)]
    for known in steps:
        bulletin.tell(known)
    assert (bulletin.take(), bulletin.take(), len(woken)) == (steps, [], 3)


def test_news_that_nobody_takes_do_not_grow() -> None:
    bulletin = Bulletin()
    bulletin.awaited = True
    for step in range(MOST_NEWS + 5):
        bulletin.tell(LastKnown(None, step))
    assert [known.label_ns for known in bulletin.take()] == list(range(5, MOST_NEWS + 5))


def test_a_segment_that_is_closed_is_told_once_and_the_label_is_kept() -> None:
    bulletin = Bulletin()
    bulletin.awaited = True
    bulletin.close()  # there is none
    bulletin.tell(LastKnown(SEGMENT, 300, "camera"))
    bulletin.close()
    bulletin.close()
    assert bulletin.take() == [LastKnown(SEGMENT, 300, "camera"), LastKnown(None, 300, "camera")]


def test_no_two_lives_are_the_same() -> None:
    lives = {Lifelong.drawn(lambda: None).life for _ in range(50)}
    assert len(lives) == 50
    assert all(0 < life < MOST_LIVES for life in lives)
