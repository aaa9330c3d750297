"""The ONNX Runtime back end on a real, tiny bundle: what fits is proven, what does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

from colour_bundle import write_bundle
from fakes import CAMERA, COLOURS, JOINTS, make_streams, picture
from hal_ros.core.card import EncoderSpec, ModelCard
from hal_ros.core.errors import BackendError, CardError, ConfigError
from hal_ros.core.step import StepInput
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import GOLDEN, STEP, Bundle
from hal_ros.runtime.card_json import CACHES, IMAGE_DTYPES
from hal_ros.runtime.golden import check_golden
from hal_ros.runtime.onnx_backend import OnnxBackend
from hal_ros.runtime.sessions import CPU
from memory_bundle import SLOTS, answers, assert_same, random_inputs, streams_of, write_memory_bundle

SIDE_PROVIDER = "AzureExecutionProvider"  # in the builds for CPUs; it runs none of our nodes


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


def test_it_names_the_colours(bundle: Bundle) -> None:
    backend, _ = open_backend(bundle)
    flags, there = np.ones(6, np.float32), np.ones(1, np.float32)
    inputs = [StepInput(backend.encode(picture(colour)), there, flags, flags) for colour in COLOURS]
    assert [COLOURS[int(output.log_probs.argmax())] for output in answers(backend, inputs)] == list(COLOURS)


@pytest.mark.parametrize("caches", CACHES)
def test_streams_are_independent(tmp_path: Path, caches: str) -> None:
    backend = OnnxBackend(write_memory_bundle(tmp_path / "bundle", caches))
    one, other = random_inputs(3 * SLOTS, 1), random_inputs(3 * SLOTS, 2)
    states, outputs = [backend.initial_state(), backend.initial_state()], [[], []]
    for pair in zip(one, other, strict=True):
        for index, inputs in enumerate(pair):
            output, states[index] = backend.step(inputs, states[index])
            outputs[index].append(output)
    assert_same(outputs[0], answers(backend, one))
    assert_same(outputs[1], answers(backend, other))
    with pytest.raises(AssertionError):
        assert_same(outputs[0], outputs[1])


def test_rings_answer_as_shifted_caches_do(tmp_path: Path) -> None:
    shift, delta = (OnnxBackend(write_memory_bundle(tmp_path / caches, caches)) for caches in CACHES)
    inputs = random_inputs(3 * SLOTS + 1)
    expected = answers(shift, inputs)
    for found, right in zip(answers(delta, inputs), expected, strict=True):
        np.testing.assert_allclose(found.log_probs, right.log_probs, atol=1e-6)
    # What came SLOTS ticks ago counts; what came before that does not.
    longer = answers(delta, [*random_inputs(5, 7), *inputs[-SLOTS - 1 :]])
    np.testing.assert_allclose(longer[-1].log_probs, expected[-1].log_probs, atol=1e-6)
    assert not np.allclose(longer[-2].log_probs, expected[-2].log_probs, atol=1e-3)


@pytest.mark.parametrize("caches", CACHES)
def test_a_provider_that_takes_no_bound_buffers_answers_the_same(tmp_path: Path, caches: str) -> None:
    if SIDE_PROVIDER not in ort.get_available_providers():
        pytest.skip(f"this build of ONNX Runtime has no provider beside the CPU's, such as {SIDE_PROVIDER}")
    bundle = write_memory_bundle(tmp_path / "bundle", caches)
    elsewhere, inputs = OnnxBackend(bundle, providers=(SIDE_PROVIDER,)), random_inputs(3 * SLOTS)
    assert_same(answers(elsewhere, inputs), answers(OnnxBackend(bundle), inputs))
    assert elsewhere.about()["providers"].startswith(SIDE_PROVIDER)


def test_a_step_leaves_its_inputs_and_outputs_alone(tmp_path: Path) -> None:
    backend = OnnxBackend(write_memory_bundle(tmp_path / "bundle", "delta"))
    inputs = random_inputs(2)
    kept = [value.copy() for value in inputs[0][:1]]
    first, state = backend.step(inputs[0], backend.initial_state())
    before = first.log_probs.copy()
    backend.step(inputs[1], state)
    np.testing.assert_array_equal(first.log_probs, before)
    np.testing.assert_array_equal(inputs[0].feature, kept[0])


@pytest.mark.parametrize("caches", CACHES)
def test_a_used_up_state_is_refused_and_the_stream_goes_on(tmp_path: Path, caches: str) -> None:
    bundle = write_memory_bundle(tmp_path / "bundle", caches)
    backend, inputs = OnnxBackend(bundle), random_inputs(3)
    start = backend.initial_state()
    _, state = backend.step(inputs[0], start)
    with pytest.raises(BackendError, match="onnxruntime: the state of tick 0 is used up"):
        backend.step(inputs[1], start)
    with pytest.raises(BackendError, match="another back end's"):
        OnnxBackend(bundle).step(inputs[1], state)
    output, _ = backend.step(inputs[1], state)
    assert_same([output], answers(backend, inputs[:2])[1:])


def test_pictures_are_cast_for_an_encoder_of_floats(tmp_path: Path) -> None:
    bytes_, floats = (write_memory_bundle(tmp_path / dtype, "shift", dtype) for dtype in IMAGE_DTYPES)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    feature = OnnxBackend(floats).encode(image)
    np.testing.assert_array_equal(feature, OnnxBackend(bytes_).encode(image))
    np.testing.assert_allclose(feature, image.reshape(-1, 3).mean(0), rtol=1e-5)  # the values stay 0 to 255


@pytest.mark.parametrize(
    ("provider", "error", "says"),
    [
        ("CUDAExecutionProvidr", ConfigError, "'CUDAExecutionProvidr' is unknown.*did you mean CUDAExecutionProvider"),
        ("CudaExecutionProvider", ConfigError, "unknown.*did you mean CUDAExecutionProvider"),
        ("magic", ConfigError, "'magic' is unknown to ONNX Runtime .*; expected some of .*CPUExecutionProvider"),
        ("DmlExecutionProvider", BackendError, "DmlExecutionProvider is not in this build of ONNX Runtime .*; it has"),
    ],
)
def test_a_provider_that_is_not_there_is_named(
    bundle: Bundle, provider: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        OnnxBackend(bundle, providers=(provider,))


def test_a_provider_that_does_not_start_is_no_reason_to_run_elsewhere(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a build for GPUs on a machine without CUDA's libraries: the session opens, but on the CPU."""
    real = ort.InferenceSession

    def without_cuda(*arguments: Any, providers: list[str], **options: Any) -> Any:
        return real(*arguments, providers=[name for name in providers if "CUDA" not in name], **options)

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    monkeypatch.setattr(ort, "InferenceSession", without_cuda)
    with pytest.raises(BackendError, match=r"encoder.onnx: ONNX Runtime could not start CUDAExecutionProvider"):
        OnnxBackend(bundle, providers=("CUDAExecutionProvider",))
    assert OnnxBackend(bundle).about() == {"onnxruntime": ort.__version__, "providers": CPU}


def test_what_fails_while_running_is_a_back_ends_error(bundle: Bundle) -> None:
    backend = OnnxBackend(bundle)
    with pytest.raises(BackendError, match=r"^onnxruntime: the encoder failed: .*image"):
        backend.encode(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"streams": make_streams(joints=replace(JOINTS, names=("a",)))},
            r"joints is \[1, 6\]; the card says \[1, 3\]",
        ),
        ({"streams": streams_of(2)}, r"step\.onnx: feature is \[1, 3\]; the card says \[1, 6\]"),
        ({"streams": make_streams(joints=None)}, r"step\.onnx: takes \['joints', 'joints_valid'\]"),
        ({"streams": make_streams(camera=None), "encoder": None}, r"step\.onnx: takes \['feature', 'image_valid'\]"),
        ({"encoder": EncoderSpec(3, "float32")}, r"image is tensor\(uint8\); the card says float32"),
        (
            {"streams": make_streams(replace(CAMERA, size_px=32))},
            r"image is \[1, 16, 16, 3\]; the card says \[1, 32, 32, 3\]",
        ),
        ({"encoder": EncoderSpec(4)}, r"encoder\.onnx: feature is 3; the card says 4"),
        ({"vocabulary": ("one", "two")}, r"log_probs is \[1, 3\]; the card says \[1, 2\]"),
    ],
)
def test_a_card_that_does_not_fit_its_graphs_is_refused(bundle: Bundle, changes: dict[str, object], says: str) -> None:
    card: ModelCard = replace(bundle.card, **changes)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=says):
        open_backend(replace(bundle, card=card))


@pytest.mark.parametrize("cameras", [0, 1, 2])
def test_what_the_graph_takes_is_given_and_nothing_else(tmp_path: Path, cameras: int) -> None:
    """Two cameras, which count differently, one, and none."""
    backend = OnnxBackend(write_memory_bundle(tmp_path / "bundle", "shift", cameras=cameras))
    inputs = random_inputs(3, cameras=cameras)
    said = answers(backend, inputs)
    columns = [(row.feature if cameras else row.joints).reshape(-1, 3) for row in inputs]
    seen = [sum((1 + part) * values for part, values in enumerate(rows)) for rows in columns]
    before = np.log(np.exp(seen[0]) / np.exp(seen[0]).sum())
    np.testing.assert_allclose(said[0].log_probs, before, atol=1e-5)
    swapped = [row._replace(feature=row.feature[::-1].copy()) for row in inputs]
    changes = np.abs(answers(backend, swapped)[0].log_probs - before).max()
    assert (changes > 1e-3) == (cameras > 0)


def test_a_tick_of_other_cameras_is_refused(tmp_path: Path) -> None:
    """NumPy would spread one camera's flag over both."""
    backend = OnnxBackend(write_memory_bundle(tmp_path / "bundle", "shift", cameras=2))
    (inputs,) = random_inputs(1, cameras=2)
    with pytest.raises(BackendError, match=r"image_valid is \[1\]; expected \[2\]"):
        backend.step(inputs._replace(image_valid=np.ones(1, np.float32)), backend.initial_state())
    backend.step(inputs, backend.initial_state())


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
