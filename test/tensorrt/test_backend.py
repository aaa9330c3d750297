"""The TensorRT back end on the fake that computes: buffers that swap, graphs that are proven, states used once."""

from __future__ import annotations

import gc
import logging
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import onnx
from onnx import TensorProto, helper

import fake_tensorrt
from colour_bundle import write_bundle
from fake_cudart import FakeDevice
from fake_tensorrt import VERSIONS, Fakes
from fakes import CAMERA, COLOURS, JOINTS, make_streams, picture
from hal_ros.core.card import EncoderSpec
from hal_ros.core.errors import BackendError
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.runtime.bundle import ENCODER, STEP, Bundle, save_card
from hal_ros.runtime.card_json import CACHES
from hal_ros.runtime.onnx_backend import OnnxBackend
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.backend import READY, REHEARSED, TensorRtBackend
from hal_ros.tensorrt.cudart import DEVICE_TO_DEVICE, DEVICE_TO_HOST, HOST_TO_DEVICE
from hal_ros.tensorrt.engine_cache import Engines
from memory_bundle import SLOTS, answers, assert_same, random_inputs, streams_of, write_memory_bundle

TICKS = 3 * SLOTS + 1  # all that is remembered is overwritten more than twice


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    return fake_tensorrt.install(monkeypatch)


def build_plan(graph: Path, plan: Path) -> None:
    """Build as hal compile does, in this process."""
    trt = tensorrt_api.load()
    said: list[str] = []
    logger = tensorrt_api.make_logger(trt, said.append)
    builder = trt.Builder(logger)
    network = builder.create_network(tensorrt_api.network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(graph.read_bytes()), tensorrt_api.parser_errors(parser)
    config = builder.create_builder_config()
    tensorrt_api.configure(trt, config, "fp16", 1 << 28)
    built = builder.build_serialized_network(network, config)
    assert built is not None, said
    plan.write_bytes(built)


def build_engines(bundle: Bundle) -> Engines:
    """Build both engines of a bundle beside it."""
    folder = bundle.folder.with_name(bundle.folder.name + "-engines")
    folder.mkdir(exist_ok=True)
    encoder = folder / "encoder.plan" if bundle.card.encoder else None
    if encoder is not None:
        build_plan(bundle.path(ENCODER), encoder)
    build_plan(bundle.path(STEP), folder / "step.plan")
    return Engines(encoder, folder / "step.plan", folder, "fp16")


def memory(folder: Path, caches: str = "shift", image_dtype: str = "float32") -> tuple[Bundle, Engines]:
    """A bundle that remembers, and its engines; float32 pictures go into every version."""
    bundle = write_memory_bundle(folder / "bundle", caches, image_dtype)
    return bundle, build_engines(bundle)


# --- what it computes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caches", CACHES)
@pytest.mark.parametrize("version", VERSIONS)
def test_engines_answer_as_onnx_runtime_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, caches: str
) -> None:
    fake_tensorrt.install(monkeypatch, version)
    bundle, engines = memory(tmp_path, caches)
    backend, reference = TensorRtBackend(bundle, engines), OnnxBackend(bundle)
    inputs = random_inputs(TICKS)
    assert_same(answers(backend, inputs), answers(reference, inputs))
    for colour in COLOURS:
        np.testing.assert_array_equal(backend.encode(picture(colour)), reference.encode(picture(colour)))


def test_an_engine_that_computes_something_else_differs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_tensorrt.install(monkeypatch, parity=0.01)
    bundle, engines = memory(tmp_path)
    inputs = random_inputs(TICKS)
    with pytest.raises(AssertionError):
        assert_same(answers(TensorRtBackend(bundle, engines), inputs), answers(OnnxBackend(bundle), inputs))


@pytest.mark.parametrize("caches", CACHES)
def test_states_in_half_precision_stay_so(fakes: Fakes, tmp_path: Path, caches: str) -> None:
    bundle = write_memory_bundle(tmp_path / "bundle", caches)
    onnx.save(halved(onnx.load(bundle.path(STEP))), bundle.path(STEP))
    bundle = save_card(bundle.card, bundle.folder, (ENCODER, STEP))
    inputs = random_inputs(TICKS)
    backend = TensorRtBackend(bundle, build_engines(bundle))
    assert_same(answers(backend, inputs), answers(OnnxBackend(bundle), inputs))


def halved(model: Any) -> Any:
    """Take and give the cache in float16, and compute in float32 as before."""
    for entries, node_names in ((model.graph.input, "input"), (model.graph.output, "output")):
        for entry in entries:
            if "key_0" in entry.name:
                entry.type.tensor_type.elem_type = TensorProto.FLOAT16
                for node in model.graph.node:
                    names = getattr(node, node_names)
                    names[:] = [f"{name}_wide" if name == entry.name else name for name in names]
    model.graph.node.insert(0, helper.make_node("Cast", ["state_key_0"], ["state_key_0_wide"], to=TensorProto.FLOAT))
    given = next(entry.name for entry in model.graph.output if "key_0" in entry.name)
    model.graph.node.append(helper.make_node("Cast", [f"{given}_wide"], [given], to=TensorProto.FLOAT16))
    onnx.checker.check_model(model, full_check=True)
    return model


def test_pictures_of_bytes_are_sent_as_bytes(fakes: Fakes, tmp_path: Path) -> None:
    bundle, engines = memory(tmp_path, image_dtype="uint8")
    backend = TensorRtBackend(bundle, engines)
    np.testing.assert_array_equal(backend.encode(picture("green")), OnnxBackend(bundle).encode(picture("green")))


def test_a_bundle_without_camera_needs_no_encoder(fakes: Fakes, tmp_path: Path) -> None:
    bundle = write_memory_bundle(tmp_path / "bundle", "shift", cameras=0)
    backend, inputs = TensorRtBackend(bundle, build_engines(bundle)), random_inputs(3, cameras=0)
    with pytest.raises(BackendError, match="has no camera, and so no encoder"):
        backend.encode(picture("red"))
    assert_same(answers(backend, inputs), answers(OnnxBackend(bundle), inputs))
    assert backend.graphs


@pytest.mark.parametrize("caches", CACHES)
def test_two_cameras_are_encoded_before_one_step(fakes: Fakes, tmp_path: Path, caches: str) -> None:
    """The encoder's buffers are used again at once: each feature must outlive that."""
    bundle = write_memory_bundle(tmp_path / "bundle", caches, "float32", cameras=2)
    backend, reference = TensorRtBackend(bundle, build_engines(bundle)), OnnxBackend(bundle)
    colours = [(first, second) for first in COLOURS for second in COLOURS]

    def ticks(by: TensorRtBackend | OnnxBackend, order: int = 1) -> list[StepInput]:
        flags, values = np.ones(2, np.float32), np.zeros(6, np.float32)
        features = [np.concatenate([by.encode(picture(each, 16)) / 255 for each in pair[::order]]) for pair in colours]
        return [StepInput(feature, flags, values, values) for feature in features]

    assert_same(answers(backend, ticks(backend)), answers(reference, ticks(reference)))
    with pytest.raises(AssertionError):
        assert_same(answers(backend, ticks(backend, order=-1)), answers(reference, ticks(reference)))


def test_a_picture_of_another_size_is_refused(fakes: Fakes, tmp_path: Path) -> None:
    backend = TensorRtBackend(*memory(tmp_path))
    with pytest.raises(BackendError, match=r"the picture is \[1, 1, 3\]; expected \[16, 16, 3\]"):
        backend.encode(picture("red", 1))


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caches", CACHES)
def test_streams_are_independent(fakes: Fakes, tmp_path: Path, caches: str) -> None:
    backend = TensorRtBackend(*memory(tmp_path, caches))
    inputs = [random_inputs(TICKS, 1), random_inputs(TICKS, 2)]
    states, found = [backend.initial_state(), backend.initial_state()], [[], []]
    for pair in zip(*inputs, strict=True):
        for index, one in enumerate(pair):
            output, states[index] = backend.step(one, states[index])
            found[index].append(output)
    for index in range(2):
        assert_same(found[index], answers(backend, inputs[index]))


@pytest.mark.parametrize("caches", CACHES)
@pytest.mark.parametrize("ticks_before", [1, 2, SLOTS + 1])
def test_a_stream_that_begins_again_has_seen_nothing(
    fakes: Fakes, tmp_path: Path, caches: str, ticks_before: int
) -> None:
    backend = TensorRtBackend(*memory(tmp_path, caches))
    first = answers(backend, random_inputs(TICKS, 1))
    answers(backend, random_inputs(ticks_before, 2))
    assert_same(answers(backend, random_inputs(TICKS, 1)), first)
    assert backend.about()["streams"] == str(READY)


def test_memory_does_not_grow_with_beginnings(fakes: Fakes, tmp_path: Path) -> None:
    backend = TensorRtBackend(*memory(tmp_path))
    before = fakes.gpu.live()
    for seed in range(20):
        answers(backend, random_inputs(2, seed))
    assert fakes.gpu.live() == before
    held = [backend.initial_state() for _ in range(READY + 1)]
    assert fakes.gpu.live() != before  # more streams at a time need more
    grown = fakes.gpu.live()
    del held
    assert len([backend.initial_state() for _ in range(READY + 1)]) == READY + 1
    assert fakes.gpu.live() == grown and backend.about()["streams"] == str(READY + 1)


def test_a_state_is_stepped_once(fakes: Fakes, tmp_path: Path) -> None:
    bundle, engines = memory(tmp_path)
    backend, (one,) = TensorRtBackend(bundle, engines), random_inputs(1)
    state = backend.initial_state()
    _, following = backend.step(one, state)
    with pytest.raises(BackendError, match="tensorrt: the state of tick 0 is used up"):
        backend.step(one, state)
    backend.step(one, following)  # the stream goes on
    with pytest.raises(BackendError, match="another back end's"):
        backend.step(one, TensorRtBackend(bundle, engines).initial_state())


# --- buffers and graphs -----------------------------------------------------------------------------------------------


def test_caches_swap_and_are_never_copied(fakes: Fakes, tmp_path: Path) -> None:
    backend = TensorRtBackend(*memory(tmp_path, "shift"))
    even, odd = (context._addresses for context in fakes.contexts[-2:])
    for name in ("key_0", "count"):
        assert even[f"next_{name}"] == odd[f"state_{name}"] != even[f"state_{name}"] == odd[f"next_{name}"]
    fakes.gpu.copies.clear()
    answers(backend, random_inputs(TICKS))
    assert fakes.gpu.copies == {HOST_TO_DEVICE: TICKS, DEVICE_TO_HOST: TICKS}


def test_rings_get_one_row_per_tick(fakes: Fakes, tmp_path: Path) -> None:
    backend = TensorRtBackend(*memory(tmp_path, "delta"))
    even, odd = (context._addresses for context in fakes.contexts[-2:])
    assert even["state_key_0"] == odd["state_key_0"] and even["state_count"] == odd["next_count"]
    fakes.gpu.copies.clear()
    answers(backend, random_inputs(TICKS))
    assert fakes.gpu.copies == {HOST_TO_DEVICE: TICKS, DEVICE_TO_HOST: TICKS, DEVICE_TO_DEVICE: TICKS}


@pytest.mark.parametrize("caches", CACHES)
def test_graphs_are_launched_once_they_proved_equal(fakes: Fakes, tmp_path: Path, caches: str) -> None:
    backend = TensorRtBackend(*memory(tmp_path, caches))
    assert backend.graphs and backend.about()["graphs"] == "on"
    rehearsed = (1 + READY) * REHEARSED  # of the encoder and of each stream
    assert fakes.gpu.launches == rehearsed
    enqueued = fakes.counts["enqueues"]
    answers(backend, random_inputs(TICKS))
    assert fakes.gpu.launches == rehearsed + TICKS and fakes.counts["enqueues"] == enqueued


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"capture": "refuse"}, "no graph can be captured: cudaStreamEndCapture: CUDA error 901"),
        ({"capture": "differ"}, "graphs gave other results than plain runs"),
        # The first enqueue after the encoder's plain runs, and after the step's.
        ({"refuse_at": REHEARSED + 1}, "no graph can be captured: execute_async_v3: TensorRT refused encoder.plan"),
        ({"refuse_at": 2 * REHEARSED + 2}, "no graph can be captured: execute_async_v3: TensorRT refused step.plan"),
    ],
)
@pytest.mark.parametrize("caches", CACHES)
def test_graphs_that_fail_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    caches: str,
    faults: dict[str, Any],
    reason: str,
) -> None:
    fakes = fake_tensorrt.install(monkeypatch, **faults)
    bundle, engines = memory(tmp_path, caches)
    with caplog.at_level(logging.WARNING):
        backend = TensorRtBackend(bundle, engines)
    assert not backend.graphs and reason in backend.about()["graphs"] and reason in caplog.text
    launched = fakes.gpu.launches
    inputs = random_inputs(TICKS)
    assert_same(answers(backend, inputs), answers(OnnxBackend(bundle), inputs))
    assert fakes.gpu.launches == launched and fakes.gpu.live()["graphs"] == 0 == fakes.gpu.last_error


def test_a_back_end_that_is_collected_late_ends_no_capture(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT's calls make Python objects, so that the collector of cycles may run in any of them."""
    bundle, engines = memory(tmp_path)
    enqueue = fake_tensorrt.IExecutionContext.execute_async_v3

    def collect_first(self: Any, stream_handle: int) -> bool:
        if fakes.gpu.is_capturing(stream_handle):
            gc.collect()
        return enqueue(self, stream_handle)

    gc.disable()
    try:
        old = TensorRtBackend(bundle, engines)
        old.itself = old  # type: ignore[attr-defined]  # a cycle: only the collector ends it
        del old
        monkeypatch.setattr(fake_tensorrt.IExecutionContext, "execute_async_v3", collect_first)
        backend = TensorRtBackend(bundle, engines)
    finally:
        gc.enable()
    assert backend.graphs, backend.about()["graphs"]


def test_one_stream_whose_graphs_fail_ends_all_graphs(fakes: Fakes, tmp_path: Path) -> None:
    bundle, engines = memory(tmp_path)
    backend, inputs = TensorRtBackend(bundle, engines), random_inputs(TICKS)
    state, *others = (backend.initial_state() for _ in range(READY))
    fakes.gpu.capture = "differ"
    other = backend.initial_state()
    assert others and not backend.graphs
    launched = fakes.gpu.launches
    outputs: list[StepOutput] = []
    for one in inputs:
        _, other = backend.step(one, other)
        output, state = backend.step(one, state)
        outputs.append(output)
    backend.encode(picture("red"))
    assert not backend.graphs and fakes.gpu.launches == launched
    assert_same(outputs, answers(OnnxBackend(bundle), inputs))


def test_an_engine_that_never_repeats_itself_gets_no_graphs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_tensorrt.install(monkeypatch, static_noise=True)
    assert not TensorRtBackend(*memory(tmp_path)).graphs


def test_everything_is_given_back_at_once(fakes: Fakes, tmp_path: Path) -> None:
    """Without the collector of cycles, which may run much later, when a new back end wants the memory."""
    backend = TensorRtBackend(*memory(tmp_path))
    states = [backend.initial_state() for _ in range(READY + 1)]
    engine = weakref.ref(backend._steps.engine)
    assert all(fakes.gpu.live()[kind] for kind in ("blocks", "streams", "executables"))
    gc.disable()
    try:
        del backend, states
        assert not any(fakes.gpu.live().values()) and engine() is None
    finally:
        gc.enable()


def test_a_stream_for_which_memory_lacks_leaves_the_others_alone(fakes: Fakes, tmp_path: Path) -> None:
    bundle, engines = memory(tmp_path)
    backend = TensorRtBackend(bundle, engines)
    inputs = random_inputs(2)
    state, *others = (backend.initial_state() for _ in range(READY))
    output, state = backend.step(inputs[0], state)
    used, before = fakes.gpu.bytes_in_use(), fakes.gpu.live()
    fakes.gpu.device = replace(fakes.gpu.device, memory_bytes=used + 700)  # for the first block
    with pytest.raises(BackendError, match=r"cudaMalloc: CUDA error 2 \(cudaErrorMemoryAllocation, out of memory\)"):
        backend.initial_state()
    assert others and fakes.gpu.live() == before
    assert_same([output, backend.step(inputs[1], state)[0]], answers(OnnxBackend(bundle), inputs))


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_cuda_error_names_call_code_and_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_tensorrt.install(monkeypatch, fail_at=2 * (1 + READY) * REHEARSED + 2)
    bundle, engines = memory(tmp_path)
    backend = TensorRtBackend(bundle, engines)
    (one,) = random_inputs(1)
    _, state = backend.step(one, backend.initial_state())
    says = r"cudaStreamSynchronize: CUDA error 700 \(cudaErrorIllegalAddress, an illegal memory access"
    with pytest.raises(BackendError, match=says):
        backend.step(one, state)
    with pytest.raises(BackendError, match="CUDA error 700"):  # the device does not heal by itself
        backend.initial_state()
    with pytest.raises(BackendError, match="used up"):
        backend.step(one, state)
    fake_tensorrt.install(monkeypatch)
    assert answers(TensorRtBackend(bundle, engines), [one])  # but another process uses it


def test_a_refused_run_tells_what_tensorrt_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fakes = fake_tensorrt.install(monkeypatch, capture="refuse", refuse_at=1000)
    backend = TensorRtBackend(*memory(tmp_path))
    state = backend.initial_state()
    fakes.counts["enqueues"] = 999
    with pytest.raises(BackendError, match=r"execute_async_v3: TensorRT refused step\.plan"):
        backend.step(random_inputs(1)[0], state)


def test_no_device_is_told_in_cudas_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fakes: Fakes) -> None:
    bundle, engines = memory(tmp_path)
    fake_tensorrt.install(monkeypatch, no_device=True)
    with pytest.raises(BackendError, match=r"CUDA error 35 \(.*driver version is insufficient"):
        TensorRtBackend(bundle, engines)


def test_no_tensorrt_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_tensorrt.install(monkeypatch)
    bundle, engines = memory(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"TensorRT can't be imported .*pip install tensorrt-cu12"):
        TensorRtBackend(bundle, engines)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def prefix(path: Path) -> None:
    path.write_bytes(b'{"names": []}' + path.read_bytes())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncate, r"step\.plan: TensorRT 10\.3\.0\.0 refuses it \(error: .*; run hal compile to build it again"),
        (halve, r"step\.plan: TensorRT .* refuses it .*ends too early"),
        (prefix, r"Magic tag does not match"),
        (Path.unlink, r"step\.plan: can't be read \(No such file or directory\); run hal compile"),
    ],
)
def test_a_damaged_plan_is_refused_and_leaves_nothing(
    fakes: Fakes, tmp_path: Path, damage: Callable[[Path], Any], says: str
) -> None:
    bundle, engines = memory(tmp_path)
    damage(engines.step)
    with pytest.raises(BackendError, match=says):
        TensorRtBackend(bundle, engines)
    gc.collect()
    assert not any(fakes.gpu.live().values())


def test_a_plan_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fakes: Fakes) -> None:
    bundle, engines = memory(tmp_path)
    fake_tensorrt.install(monkeypatch, "10.13.3.9")
    with pytest.raises(BackendError, match=r"TensorRT 10\.13\.3\.9 refuses it .*stdVersionRead"):
        TensorRtBackend(bundle, engines)


def test_the_fake_notices_a_plan_of_another_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fakes: Fakes
) -> None:
    """Whoever hands such a plan on may lose the process: the cache's sidecar has to stop it."""
    bundle, engines = memory(tmp_path)
    fake_tensorrt.install(monkeypatch, device=FakeDevice(name="Xavier"))
    with pytest.raises(AssertionError, match="plan of another device"):
        TensorRtBackend(bundle, engines)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"streams": make_streams(joints=replace(JOINTS, names=("a",)))},
            r"joints is \[1, 6\]; the card says \[1, 3\]",
        ),
        ({"streams": streams_of(2)}, r"feature is \[1, 3\]; the card says \[1, 6\]"),
        (
            {"streams": make_streams(replace(CAMERA, size_px=32))},
            r"image is \[1, 16, 16, 3\]; the card says \[1, 32, 32, 3\]",
        ),
        ({"encoder": EncoderSpec(4)}, r"feature is \[1, 3\]; the card says \[1, 4\]"),
        ({"vocabulary": ("one", "two")}, r"log_probs is \[1, 3\]; the card says \[1, 2\]"),
        ({"caches": "delta"}, r"lacks the inputs \['order_0'\]"),
        ({"encoder": None}, r"the encoder's engine is .*encoder\.plan; expected none"),
    ],
)
def test_engines_that_do_not_fit_the_card_are_refused(
    fakes: Fakes, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    bundle, engines = memory(tmp_path)
    with pytest.raises(BackendError, match=says):
        TensorRtBackend(replace(bundle, card=replace(bundle.card, **changes)), engines)


def test_a_shape_that_is_not_fixed_is_refused(fakes: Fakes, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    model = onnx.load(bundle.path(ENCODER))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, bundle.path(ENCODER))
    with pytest.raises(BackendError, match=r"encoder\.plan: image is \[-1, 16, 16, 3\]; expected a fixed shape"):
        TensorRtBackend(bundle, build_engines(bundle))


def test_an_engine_that_reads_an_input_on_the_host_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TensorRT would read from a device's address, and end the process."""
    fake_tensorrt.install(monkeypatch, shape_tensor="order_0")
    with pytest.raises(BackendError, match=r"step\.plan: order_0 decides on shapes; expected values only"):
        TensorRtBackend(*memory(tmp_path, "delta"))


def test_a_state_that_changes_its_type_is_refused(fakes: Fakes, tmp_path: Path) -> None:
    bundle = write_memory_bundle(tmp_path / "bundle", "shift")
    model = halved(onnx.load(bundle.path(STEP)))
    cast = model.graph.node[-1]
    model.graph.node[-1].CopyFrom(helper.make_node("Identity", cast.input, cast.output))
    next(entry for entry in model.graph.output if "key_0" in entry.name).type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(model, bundle.path(STEP))
    with pytest.raises(BackendError, match="state_key_0 is float16, next_key_0 is float32; expected one type"):
        TensorRtBackend(bundle, build_engines(bundle))
