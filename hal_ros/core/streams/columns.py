"""What the V state values of a tick are to those who learn from them: which go missing together, and which are joints.

Columns are those of `StreamSpec.values`: state by state, in each field by field, name by name.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.streams.spec import JOINT_FIELDS, StreamSpec

POSITION, VELOCITY, _ = JOINT_FIELDS
GRIPPER_WORDS = ("grip", "finger")
"""What a gripper's joint, or else its state, is called somewhere in its name."""


@dataclass(frozen=True)
class ValueGroups:
    """Which of the V columns go missing together: numbers from 0, one for each column. Empty where that is not known.

    All fields of one name have one number in `names`; so has a state without names as a whole, for it comes in one
    message. All values of one state have one number in `states`.
    """

    names: tuple[int, ...] = ()  # V of them
    states: tuple[int, ...] = ()  # likewise

    @property
    def name_count(self) -> int:
        """How many names, and states without names, there are."""
        return max(self.names, default=-1) + 1

    @property
    def state_count(self) -> int:
        """How many states there are."""
        return max(self.states, default=-1) + 1

    def of_name(self, number: int) -> NDArray[np.int64]:
        """Return the columns of one name."""
        return np.flatnonzero(np.equal(self.names, number))

    def of_state(self, number: int) -> NDArray[np.int64]:
        """Return the columns of one state."""
        return np.flatnonzero(np.equal(self.states, number))


NO_GROUPS = ValueGroups()


def groups_of(streams: StreamSpec) -> ValueGroups:
    """Return which columns of the streams' state values belong together."""
    names = _numbered((value.state, value.name) for value in streams.values)
    return ValueGroups(names, _numbered(value.state for value in streams.values))


def _numbered(keys: Iterable[Hashable]) -> tuple[int, ...]:
    """Return for each key the number of its first appearance among the different ones."""
    numbers: dict[Hashable, int] = {}
    return tuple(numbers.setdefault(key, len(numbers)) for key in keys)


@dataclass(frozen=True)
class JointColumns:
    """The J joints among all states, in their order, and the columns of what is known of each."""

    names: tuple[str, ...] = ()  # J of them
    states: tuple[str, ...] = ()  # the state that each joint belongs to
    columns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by field; -1 where a joint lacks it

    @cached_property
    def gripper(self) -> int:
        """Which joint is the gripper: the first with a position that is named so, or whose state is, else the last one.

        -1 where no joint has a position.
        """
        known = [joint for joint, column in enumerate(self.columns.get(POSITION, ())) if column >= 0]
        for called in (self.names, self.states):
            for joint in known:
                if any(word in called[joint].lower() for word in GRIPPER_WORDS):
                    return joint
        return known[-1] if known else -1

    def opening(self, held: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gripper's position (T,) of values (T, V) without gaps; zeros where there is no gripper."""
        if self.gripper < 0:
            return np.zeros(len(held))
        return np.asarray(held[:, self.columns[POSITION][self.gripper]], np.float64)

    def arm_speed(self, held: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how fast all joints but the gripper move, (T,), of values (T, V) without gaps: a Euclidean norm.

        By the velocities of those that have one; where none has, by how far positions changed since the tick before.
        """
        if velocities := self._of_arm(VELOCITY):
            return _norms(np.take(held, velocities, axis=1))
        positions = np.take(held, self._of_arm(POSITION), axis=1)
        return _norms(np.diff(positions, axis=0, prepend=positions[:1]))

    def _of_arm(self, name: str) -> list[int]:
        """Return the columns of a field, without the gripper's and without those that are not there."""
        columns = enumerate(self.columns.get(name, ()))
        return [column for joint, column in columns if joint != self.gripper and column >= 0]


def _norms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(rows, axis=1), np.float64)


def joints_of(streams: StreamSpec) -> JointColumns:
    """Return the joints among the streams' states: all names of states that have names."""
    columns = {tuple(value): column for column, value in enumerate(streams.values)}
    joints = [(state, name) for state, spec in streams.states.items() for name in spec.names]
    return JointColumns(
        names=tuple(name for _, name in joints),
        states=tuple(state for state, _ in joints),
        columns={each: tuple(columns.get((*joint, each), -1) for joint in joints) for each in JOINT_FIELDS},
    )
