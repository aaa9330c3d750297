"""Answers of several robots in one bag: each has a namespace, and one of them is meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hal_ros.bags.answer_messages import LABEL_TYPE
from hal_ros.core.errors import BagError


def choose_robot(bag: Path, types: Mapping[str, str], namespace: str | None = None) -> str | None:
    """Return the namespace of the robot whose labels are meant, "" for the root; None where a bag holds no labels.

    `types` are those of the bag's topics. Raises BagError where several robots may be meant, or the named one is not
    there.
    """
    there = sorted({topic.rpartition("/")[0] for topic, kind in types.items() if kind == LABEL_TYPE})
    named = None if namespace is None else "/".join(["", *filter(None, namespace.split("/"))])
    if named is not None and named not in there:
        held = f"those of {_listed(there)}" if there else "none"
        raise BagError(f"{bag}: holds no labels of robot {named or '/'}; it has {held}")
    if named is None and len(there) > 1:
        raise BagError(f"{bag}: holds labels of several robots, {_listed(there)}; name one with --namespace")
    return named if named is not None else next(iter(there), None)


def of_others(types: Mapping[str, str], robot: str | None) -> set[str]:
    """Return the topics of a bag that lie in another robot's namespace; in nobody's lies what all robots share."""
    robots = {topic.rpartition("/")[0] for topic, kind in types.items() if kind == LABEL_TYPE}
    owners = {topic: max((r for r in robots if topic.startswith(f"{r}/")), key=len, default=robot) for topic in types}
    return {topic for topic, owner in owners.items() if owner != robot}


def _listed(robots: list[str]) -> str:
    return ", ".join(robot or "/" for robot in robots)
