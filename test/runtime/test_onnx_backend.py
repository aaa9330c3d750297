"""The ONNX Runtime back end on a real, tiny bundle: what fits is proven, what does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

from colour_bundle import write_bundle
from fakes import COLOURS, picture

from hal_ros.core.errors import BackendError, CardError, ConfigError
from hal_ros.core.types import ImageSpec, JointSpec, ModelCard, StepInput
from hal_ros.runtime.backend import check_golden, open_backend
from hal_ros.runtime.card import GOLDEN, STEP, Bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


def test_it_answers_and_reproduces_its_golden_outputs(bundle: Bundle) -> None:
    backend, reason = open_backend(bundle)
    check_golden(bundle, backend)
    assert backend.name == "onnxruntime" and "auto" in reason


def test_other_golden_outputs_are_noticed(bundle: Bundle) -> None:
    with np.load(bundle.path(GOLDEN)) as stored:
        arrays = dict(stored)
    arrays["log_probs"] = np.roll(arrays["log_probs"], 1, axis=1)
    np.savez(bundle.path(GOLDEN), **arrays)
    with pytest.raises(BackendError, match=r"differs from .*golden\.npz"):
        check_golden(bundle, open_backend(bundle)[0])


def test_streams_are_independent_and_a_state_is_never_changed(bundle: Bundle) -> None:
    backend, _ = open_backend(bundle)
    flags = np.ones(6, np.float32)
    start = backend.initial_state()
    kept = {name: value.copy() for name, value in start.items()}
    for colour in COLOURS:
        inputs = StepInput(backend.encode(picture(colour)), 1.0, flags, flags)
        once, _ = backend.step(inputs, start)
        again, _ = backend.step(inputs, start)
        np.testing.assert_array_equal(once.log_probs, again.log_probs)
        assert COLOURS[int(once.log_probs.argmax())] == colour
    for name, value in kept.items():
        np.testing.assert_array_equal(start[name], value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"joints": JointSpec(("a",), 0.1)}, r"joints is \[1, 6\]; the card says \[1, 3\]"),
        ({"image": ImageSpec(32)}, r"image is \[1, 16, 16, 3\]; the card says \[1, 32, 32, 3\]"),
        ({"feature_dim": 4}, r"feature is \[1, 3\]; the card says \[1, 4\]"),
        ({"vocabulary": ("one", "two")}, r"log_probs is \[1, 3\]; the card says \[1, 2\]"),
    ],
)
def test_a_card_that_does_not_fit_its_graphs_is_refused(bundle: Bundle, changes: dict[str, object], says: str) -> None:
    card: ModelCard = replace(bundle.card, **changes)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=says):
        open_backend(replace(bundle, card=card))


def test_a_truncated_graph_is_named(bundle: Bundle) -> None:
    path = bundle.path(STEP)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BackendError, match=r"step\.onnx: ONNX Runtime can't open it"):
        open_backend(bundle)


def test_broken_golden_arrays_are_named(bundle: Bundle) -> None:
    bundle.path(GOLDEN).write_bytes(b"not a zip")
    with pytest.raises(CardError, match=r"golden\.npz"):
        check_golden(bundle, open_backend(bundle)[0])


def test_an_unknown_backend_names_the_nearest(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match=r"'onnxruntme' is unknown.*did you mean 'onnxruntime'"):
        open_backend(bundle, "onnxruntme")
