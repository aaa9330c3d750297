"""The joints of a robot with one topic of joints, as training and baselines see them."""

from __future__ import annotations

from collections.abc import Sequence

from hal_ros.core.streams.columns import JointColumns, joints_of
from hal_ros.core.streams.spec import StateSpec, single


def joints_named(names: Sequence[str]) -> JointColumns:
    """The joints of these names: V = 3J, position | velocity | effort."""
    return joints_of(single(None, StateSpec(names=tuple(names))))
