"""The gate: it lets through what answers as ONNX Runtime does, over a long stream, and refuses whatever does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

from colour_bundle import write_bundle
from fakes import make_card
from hal_ros.core.errors import BackendError, CardError
from hal_ros.core.step import Backend, StepInput, StepOutput
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import GOLDEN, Bundle
from hal_ros.runtime.golden import LIMITS, TOLERANCE, GateLimits, check_golden, gate, read_golden
from memory_bundle import streams_of

NO_ENCODER: dict[str, Any] = {"encoder": None}
FP32, FP16 = LIMITS["fp32"], LIMITS["fp16"]
Change = Callable[[StepOutput, int, int], StepOutput]
"""Takes an output, the stream's tick and how many ticks were stepped in all; returns what is answered instead."""


class Changed:
    """A back end that answers something else."""

    name = "changed"

    def __init__(self, backend: Backend, change: Change) -> None:
        self._backend, self._change = backend, change
        self.encode = backend.encode
        self.stepped = 0

    def initial_state(self) -> Any:
        return self._backend.initial_state(), 0

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        inner, tick = state
        output, inner = self._backend.step(inputs, inner)
        self.stepped += 1
        return self._change(output, tick, self.stepped), (inner, tick + 1)


class Exchanged(Changed):
    """A back end that takes each camera's feature for the other's."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, offset(0))

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        return super().step(inputs._replace(feature=np.roll(inputs.feature, len(inputs.feature) // 2)), state)


def offset(by: float) -> Change:
    return lambda output, *_: output._replace(log_probs=output.log_probs + np.float32(by))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def reference(bundle: Bundle) -> Backend:
    return open_backend(bundle, "onnxruntime")[0]


def judged(bundle: Bundle, reference: Backend, change: Change, limits: GateLimits = FP16, windows: float = 2.5) -> str:
    backend = Changed(open_backend(bundle, "onnxruntime")[0], change)
    return gate(bundle, backend, reference, limits, windows).fault


def test_the_same_answers_are_accepted(bundle: Bundle, reference: Backend) -> None:
    verdict = gate(bundle, Changed(open_backend(bundle)[0], offset(0)), reference, FP32)
    assert verdict.holds and verdict.repeats
    assert (verdict.log_prob_error, verdict.boundary_error, verdict.widest_margin) == (0, 0, 0)
    assert (verdict.ticks, verdict.label_agreement) == (20, 1)  # 2.5 windows of 8


@pytest.mark.parametrize("limits", [FP32, FP16])
def test_a_log_probability_may_differ_up_to_the_limit(bundle: Bundle, reference: Backend, limits: GateLimits) -> None:
    assert judged(bundle, reference, offset(0.9 * limits.log_probs), limits) == ""
    assert "log-probabilities differ by" in judged(bundle, reference, offset(1.1 * limits.log_probs), limits)


def test_half_precision_has_wider_limits(bundle: Bundle, reference: Backend) -> None:
    assert judged(bundle, reference, offset(0.01), FP16) == "" != judged(bundle, reference, offset(0.01), FP32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(bundle: Bundle, reference: Backend, value: float) -> None:
    def change(output: StepOutput, tick: int, stepped: int) -> StepOutput:
        return output._replace(lagged_log_probs=np.where(tick == 7, np.float32(value), output.lagged_log_probs))

    backend = Changed(open_backend(bundle)[0], change)
    verdict = gate(bundle, backend, reference, FP16)
    assert "log-probabilities differ by inf" in verdict.fault
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["log_prob_error"] is None


def test_the_boundary_counts(bundle: Bundle, reference: Backend) -> None:
    assert judged(bundle, reference, lambda o, *_: o._replace(boundary=o.boundary + 0.019)) == ""
    assert "the boundary differs by 0.03" in judged(bundle, reference, lambda o, *_: o._replace(boundary=0.03))
    assert "the boundary differs by inf" in judged(bundle, reference, lambda o, *_: o._replace(boundary=float("nan")))


def test_another_action_is_refused_where_the_reference_is_sure(bundle: Bundle, reference: Backend) -> None:
    def change(output: StepOutput, tick: int, stepped: int) -> StepOutput:
        return output._replace(log_probs=np.roll(output.log_probs, 1)) if tick == 11 else output

    fault = judged(bundle, reference, change, GateLimits(log_probs=np.inf, agreement=0.9))
    assert fault.startswith("another action is named where ONNX is sure by 1.00")
    assert "95.0% of the ticks name the same actions" in judged(bundle, reference, change, GateLimits(np.inf, margin=2))
    assert judged(bundle, reference, change, GateLimits(np.inf, agreement=0.9, margin=2)) == ""


@pytest.mark.parametrize(("margin", "faults"), [(0.008, 0), (0.04, 1)])
def test_either_side_of_a_tie_will_do(bundle: Bundle, reference: Backend, margin: float, faults: int) -> None:
    """Golden ticks recur, so that one tie would take the whole stream's share of other actions."""
    close = np.log(np.array([0.5 + margin / 2, 0.5 - margin / 2], np.float32))

    def between(ids: list[int]) -> Change:
        def change(output: StepOutput, tick: int, stepped: int) -> StepOutput:
            log_probs = np.full_like(output.log_probs, -30)
            log_probs[ids] = close
            return output._replace(log_probs=log_probs) if tick % 4 == 3 else output

        return change

    torn, swapped = Changed(reference, between([0, 1])), between([1, 0])
    assert judged(bundle, torn, swapped, GateLimits(log_probs=np.inf)).count("name the same actions") == faults


def test_a_fault_that_only_a_full_window_shows_is_found(bundle: Bundle, reference: Backend) -> None:
    def change(output: StepOutput, tick: int, stepped: int) -> StepOutput:
        return output._replace(log_probs=output.log_probs - 1) if tick > bundle.card.window_ticks else output

    assert judged(bundle, reference, change, windows=0) == ""
    assert "log-probabilities differ by 1," in judged(bundle, reference, change)


def test_a_stream_that_remembers_another_is_refused(bundle: Bundle, reference: Backend) -> None:
    def change(output: StepOutput, tick: int, stepped: int) -> StepOutput:
        return output._replace(boundary=output.boundary + stepped * 1e-6)

    assert judged(bundle, reference, change) == "a second stream gave other bits than the first"


def test_buffers_that_are_used_again_are_no_fault(bundle: Bundle, reference: Backend) -> None:
    buffer = np.zeros(len(bundle.card.vocabulary), np.float32)

    def change(output: StepOutput, tick: int, stepped: int) -> StepOutput:
        buffer[:] = output.log_probs
        return output._replace(log_probs=buffer)

    assert judged(bundle, reference, change) == ""


def test_golden_outputs_are_compared_by_the_precision_of_the_back_end(bundle: Bundle) -> None:
    backend = Changed(open_backend(bundle)[0], lambda o, *_: o._replace(boundary=o.boundary + 0.01))
    with pytest.raises(
        BackendError, match=r"changed: differs from .*golden\.npz by 0\.01 at tick 0; expected <= 0\.001"
    ):
        check_golden(bundle, backend)
    backend.precision = "fp16"  # type: ignore[attr-defined]
    check_golden(bundle, backend)


def test_what_passes_the_gate_gives_the_golden_outputs(rng: np.random.Generator) -> None:
    """Engines in half precision, that is: the stored outputs are ONNX Runtime's own within fp32's tolerance."""
    limits, room = LIMITS["fp16"], TOLERANCE["fp16"] - TOLERANCE["fp32"]
    widest = np.tanh(limits.log_probs / 2)
    assert max(widest, limits.boundary) <= room
    far = np.exp(-limits.log_probs)
    probabilities = np.array([far, 1]) / (1 + far)
    np.testing.assert_allclose(np.abs(probabilities * [1 / far, far] - probabilities), widest)  # no further than that
    for _ in range(1000):
        probabilities = rng.dirichlet(np.full(rng.integers(2, 6), 0.5)) + 1e-9
        other = probabilities * np.exp(rng.uniform(-limits.log_probs, limits.log_probs, len(probabilities)))
        probabilities, other = probabilities / probabilities.sum(), other / other.sum()
        distance = np.abs(np.log(other / probabilities)).max()
        assert np.abs(other - probabilities).max() <= np.tanh(distance / 2) + 1e-12


@pytest.mark.parametrize("cameras", [0, 1, 2])
def test_golden_ticks_hold_every_stream(tmp_path: Path, cameras: int) -> None:
    made = write_bundle(tmp_path / "made", make_card(streams=streams_of(cameras), **({} if cameras else NO_ENCODER)))
    with np.load(made.path(GOLDEN)) as stored:
        assert ("images" in stored) == ("image_valid" in stored) == (cameras > 0)
    ticks = read_golden(made)
    side = made.card.streams.size_px
    assert {tick.images.shape for tick in ticks} == {(cameras, side, side, 3)}
    assert {(tick.image_valid.shape, tick.joints.shape) for tick in ticks} == {((cameras,), (6,))}
    check_golden(made, open_backend(made)[0])
    assert gate(made, open_backend(made)[0], open_backend(made)[0], FP32).holds


@pytest.mark.parametrize("camera", [0, 1])
def test_another_picture_of_any_camera_is_noticed(tmp_path: Path, camera: int) -> None:
    made = write_bundle(tmp_path / "made", make_card(streams=streams_of(2)))
    with np.load(made.path(GOLDEN)) as stored:
        arrays = dict(stored)
    arrays["images"][:, camera] = np.roll(arrays["images"][:, camera], 1, axis=0)
    np.savez(made.path(GOLDEN), **arrays)
    with pytest.raises(BackendError, match=r"golden\.npz by .* at tick 0"):
        check_golden(made, open_backend(made)[0])


def test_the_gate_encodes_each_camera_on_its_own(tmp_path: Path) -> None:
    """The reference remembers features by picture: it must not take one camera's for the other's."""
    made = write_bundle(tmp_path / "made", make_card(streams=streams_of(2)))
    with np.load(made.path(GOLDEN)) as stored:
        arrays = dict(stored)
    arrays["images"][:, 1] = np.roll(arrays["images"][:, 1], 1, axis=0)
    np.savez(made.path(GOLDEN), **arrays)
    assert gate(made, Changed(open_backend(made)[0], offset(0)), open_backend(made)[0], FP32).holds
    assert "log-probabilities" in gate(made, Exchanged(open_backend(made)[0]), open_backend(made)[0], FP32).fault


def test_golden_arrays_of_one_camera_are_read_as_they_were_written(bundle: Bundle, reference: Backend) -> None:
    """Version 0.1.0 knew no other number of cameras."""
    with np.load(bundle.path(GOLDEN)) as stored:
        arrays = dict(stored)
    expected = read_golden(bundle)
    np.savez(
        bundle.path(GOLDEN),
        **{**arrays, "images": arrays["images"][:, 0], "image_valid": arrays["image_valid"][:, 0]},
    )
    for tick, right in zip(read_golden(bundle), expected, strict=True):
        for found, wanted in zip(tick[:4], right[:4], strict=True):
            np.testing.assert_array_equal(found, wanted)
    check_golden(bundle, reference)


@pytest.mark.parametrize("name", ["images", "image_valid", "joints", "joints_valid"])
def test_golden_arrays_of_another_robot_are_refused(bundle: Bundle, name: str) -> None:
    with np.load(bundle.path(GOLDEN)) as stored:
        arrays = dict(stored)
    arrays[name] = np.concatenate([arrays[name]] * 2, axis=1)
    np.savez(bundle.path(GOLDEN), **arrays)
    with pytest.raises(CardError, match=rf"golden\.npz: {name} of a tick are .*; the card says "):
        read_golden(bundle)


@pytest.mark.parametrize("missing", ["images", "boundary"])
def test_golden_arrays_of_another_form_are_named(bundle: Bundle, missing: str) -> None:
    with np.load(bundle.path(GOLDEN)) as stored:
        arrays = dict(stored)
    np.savez(bundle.path(GOLDEN), **{name: value for name, value in arrays.items() if name != missing})
    with pytest.raises(CardError, match=r"golden\.npz: can't be read"):
        read_golden(bundle)
    np.savez(bundle.path(GOLDEN), **{name: value[:2] if name == missing else value for name, value in arrays.items()})
    with pytest.raises(CardError, match=r"golden\.npz: can't be read"):
        read_golden(bundle)
    np.savez(bundle.path(GOLDEN), **{name: value[:0] for name, value in arrays.items()})
    with pytest.raises(CardError, match=r"golden\.npz: holds no ticks"):
        read_golden(bundle)


@pytest.mark.parametrize("harm", ["truncated", "flipped", "empty"])
def test_damaged_golden_arrays_are_named(bundle: Bundle, harm: str) -> None:
    path = bundle.path(GOLDEN)
    data = path.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 64]) + data[middle + 64 :]
    path.write_bytes({"truncated": data[:middle], "flipped": flipped, "empty": b""}[harm])
    with pytest.raises(CardError, match=r"golden\.npz: can't be read"):
        read_golden(bundle)


def test_a_bundle_without_golden_arrays_is_refused(bundle: Bundle, reference: Backend) -> None:
    files = {name: value for name, value in bundle.card.files.items() if name != GOLDEN}
    with pytest.raises(CardError, match=r"names no file 'golden\.npz'"):
        gate(replace(bundle, card=replace(bundle.card, files=files)), reference, reference, FP32)
