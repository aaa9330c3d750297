"""Shapes that stand in comments are checked wherever a value is made: `joints: FloatArray  # (3J,)`.

One letter is one length within a value. jaxtyping with beartype would need the shapes in the annotations, and itself in
the robot's process; this reads the comments that are there, so that they can't become wrong, and costs the package
nothing and a test a few microseconds a value.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

BORDERS = (
    "hal_ros.core.observations",
    "hal_ros.core.step",
    "hal_ros.core.streams.intake",
    "hal_ros.core.streams.merge",
    "hal_ros.core.streams.readers",
    "hal_ros.datasets.clips",
    "hal_ros.datasets.episodes",
    "hal_ros.datasets.encoded_clips",
    "hal_ros.metrics.answer_files",
    "hal_ros.metrics.predictions",
    "hal_ros.runtime.golden",
    "hal_ros.train.answers",
)
"""Modules whose named tuples and dataclasses hold arrays on their way from one room to another."""
SHAPE = re.compile(r"\(((?:\w+,|\w+(?:, \w+)+))\)")  # (T,) or (T, K)
LENGTH = re.compile(r"(\d*)([A-Z]?)")  # 3, T or 3J
Shape = tuple[str, ...]


class ShapeError(AssertionError):
    """An array is not what the comment at its field says."""


def shapes_of(kind: type) -> dict[str, list[Shape]]:
    """Return for each field that has a shape in its comment the shapes that it may have."""
    lines = textwrap.dedent(inspect.getsource(kind)).splitlines()
    (tree,) = ast.parse("\n".join(lines)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno is not None:
            comment = lines[node.end_lineno - 1].partition("#")[2]
            shapes = [tuple(re.findall(r"\w+", text)) for text in SHAPE.findall(comment)]
            if shapes and all(LENGTH.fullmatch(length) for shape in shapes for length in shape):
                found[node.target.id] = shapes
    return found


def fault(shapes: Mapping[str, list[Shape]], values: Mapping[str, Any]) -> str:
    """Return which array's shape is wrong, in words; '' when one length for each letter fits them all."""
    lengths: dict[str, int] = {}
    for name in sorted(shapes, key=lambda name: len(shapes[name])):  # those that leave no choice first
        value = values.get(name)
        if not isinstance(value, np.ndarray):
            continue
        for shape in shapes[name]:
            bound = _bound(shape, value.shape, lengths)
            if bound is not None:
                lengths = bound
                break
        else:
            expected = " or ".join(f"({', '.join(shape)})" for shape in shapes[name])
            return f"{name} is {value.shape}; expected {expected} with {lengths}"
    return ""


def _bound(shape: Shape, actual: tuple[int, ...], lengths: Mapping[str, int]) -> dict[str, int] | None:
    """Return the lengths of all letters known so far, None where the shape does not fit them."""
    if len(shape) != len(actual):
        return None
    bound = dict(lengths)
    for text, size in zip(shape, actual, strict=True):
        matched = LENGTH.fullmatch(text)
        assert matched is not None
        factor, letter = int(matched[1] or 1), matched[2]
        if size % (factor or 1) or size != factor * (bound.setdefault(letter, size // (factor or 1)) if letter else 1):
            return None
    return bound


def _checked(kind: type, make: Callable[..., Any], shapes: Mapping[str, list[Shape]]) -> Callable[..., Any]:
    fields = list(inspect.signature(make).parameters)

    @functools.wraps(make)
    def making(*args: Any, **more: Any) -> Any:
        reason = fault(shapes, {**dict(zip(fields, args, strict=False)), **more})
        if reason:
            raise ShapeError(f"{kind.__name__}: {reason}")
        return make(*args, **more)

    return making


@contextmanager
def watched(modules: tuple[str, ...] = BORDERS) -> Iterator[list[type]]:
    """Check every value of the kinds in those modules that are imported; gives the kinds."""
    kinds: list[type] = []
    with pytest.MonkeyPatch.context() as patch:
        for module in filter(None, map(sys.modules.get, modules)):
            for kind in [v for v in vars(module).values() if inspect.isclass(v) and v.__module__ == module.__name__]:
                shapes = shapes_of(kind)
                if shapes:
                    name = "__new__" if issubclass(kind, tuple) else "__init__"
                    patch.setattr(kind, name, _checked(kind, getattr(kind, name), shapes))
                    kinds.append(kind)
        yield kinds
