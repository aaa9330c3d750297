"""The exported step graphs are the torch model (law 4), whatever their caches and precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from hal_ros.core.errors import BackendError  # noqa: E402
from hal_ros.export import parity, to_onnx  # noqa: E402
from hal_ros.export.half_precision import halved  # noqa: E402
from hal_ros.export.operators import check_graph  # noqa: E402
from hal_ros.nn.hal import CausalHal, HalConfig  # noqa: E402
from hal_ros.nn.joint_guided_attention import Eye  # noqa: E402
from hal_ros.runtime.step_state import OUTPUTS, input_names  # noqa: E402
from step_graphs import CONFIG, EYE, ROBOTS, TWO, make_graph  # noqa: E402

FLAVOURS = [("shift", "fp32"), ("shift", "fp16"), ("delta", "fp32"), ("delta", "fp16")]
LONGEST = max(CONFIG.lookback) - 1
FLOAT, FLOAT16, INT32 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT32


@pytest.fixture(scope="module")
def graph() -> to_onnx.StepGraph:
    return make_graph()


@pytest.fixture(params=FLAVOURS, ids="-".join)
def flavour(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


def changed(caches: str, name: str, by: float) -> to_onnx.StepGraph:
    other = make_graph(caches=caches)
    with torch.no_grad():
        tensor = other.state_dict()[name]
        tensor.copy_(tensor + by * torch.arange(1, tensor.numel() + 1).reshape(tensor.shape))
    return other


def test_outputs_and_state_agree_over_more_than_two_windows(
    flavour: tuple[str, str], exported: Callable[[str, str], Path]
) -> None:
    caches, precision = flavour
    found = parity.prove(make_graph(caches=caches), exported(*flavour), precision)
    assert found.ticks > 2 * CONFIG.window_ticks
    limit = 1e-4 if precision == "fp32" else 1e-2
    assert found.output_error <= limit
    assert found.state_error <= limit
    assert found.label_agreement == 1.0
    assert set(found.errors) == set(to_onnx.tensor_names(CONFIG)[1])
    if precision == "fp16":  # the control: half precision is what the file computes with
        assert found.state_error > 1e-5


@pytest.mark.parametrize(
    "name", ["model.temperature", "model.gate.bias", "model.layers.2.bias", "model.blind", "eye.aim.bias"]
)
@pytest.mark.parametrize(("flavour", "by"), [(FLAVOURS[0], 0.01), (FLAVOURS[2], 0.01), (FLAVOURS[3], 1.0)])
def test_a_model_that_differs_in_one_tensor_is_noticed(
    flavour: Any, by: float, name: str, exported: Callable[[str, str], Path]
) -> None:
    with pytest.raises(BackendError, match="differs from torch"):
        parity.prove(changed(flavour[0], name, by), exported(*flavour), flavour[1])


@pytest.mark.parametrize("flavour", FLAVOURS, ids="-".join)
def test_the_tensor_where_the_difference_begins_is_named_first(
    flavour: tuple[str, ...], exported: Callable[[str, str], Path]
) -> None:
    says = rf"{flavour[0]}-{flavour[1]}\.onnx: differs from torch over 37 ticks: next_value_2 by .*, expected <= "
    with pytest.raises(BackendError, match=says):
        parity.prove(changed(flavour[0], "model.layers.2.value.bias", 1.0), exported(*flavour), flavour[1])


@pytest.mark.parametrize("helper", ["ring_slot", "ring_order"])
def test_a_host_that_is_one_slot_late_is_noticed(
    helper: str, exported: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(parity, helper)
    monkeypatch.setattr(parity, helper, lambda tick, slots: right(max(tick - 1, 0), slots))
    assert "log_probs" in parity.compare(make_graph(caches="delta"), exported("delta", "fp32")).fault


def test_shifted_caches_and_rings_give_the_same_stream(
    graph: to_onnx.StepGraph, exported: Callable[[str, str], Path]
) -> None:
    """Both files beside each other, without torch; the rings rolled out are the caches."""
    rings = make_graph(caches="delta")
    rows = parity.stream(graph)
    pairs = zip(
        parity._onnx(graph, exported("shift", "fp32"), rows),
        parity._onnx(rings, exported("delta", "fp32"), rows),
        strict=True,
    )
    for shifted, ringed in pairs:
        for name, value in shifted.items():
            np.testing.assert_allclose(ringed[name], value, atol=1e-5, err_msg=name)
    assert np.abs(shifted["next_key_2"][:, 0] - shifted["next_key_2"][:, 1]).max() > 1e-3


def test_graph_is_one_that_old_and_new_runtimes_take(
    flavour: tuple[str, str], exported: Callable[[str, str], Path]
) -> None:
    written = onnx.load(exported(*flavour))
    for target in ("8.6", "10", "11"):
        check_graph(written, target, "step")
    assert [entry.version for entry in written.opset_import] == [17]
    assert written.ir_version == 8
    assert not any(entry.metadata_props or entry.doc_string for entry in written.graph.node)


def test_tensors_are_what_the_contract_says(flavour: tuple[str, str], exported: Callable[[str, str], Path]) -> None:
    """Only the caches are half; what is summed up over time, and all that a sensor gives, is not."""
    caches, precision = flavour
    written = onnx.load(exported(*flavour)).graph
    tensors = {
        entry.name: (entry.type.tensor_type.elem_type, [dim.dim_value for dim in entry.type.tensor_type.shape.dim])
        for entry in (*written.input, *written.output)
    }
    inputs, outputs = to_onnx.tensor_names(CONFIG, caches)
    assert [entry.name for entry in written.input] == inputs
    assert [entry.name for entry in written.output] == outputs
    half = FLOAT16 if precision == "fp16" else FLOAT
    following = "new_key_2" if caches == "delta" else "next_key_2"
    assert tensors["state_key_2"] == (half, [1, LONGEST, CONFIG.width])
    assert tensors[following] == (half, [1, 1 if caches == "delta" else LONGEST, CONFIG.width])
    assert tensors["state_context"] == tensors["next_context"] == (FLOAT, [1, CONFIG.width])
    assert tensors["state_valid"] == tensors["next_valid"] == (FLOAT, [1, LONGEST])
    assert {tensors[name][0] for name in (*input_names(1, 1), *OUTPUTS)} == {FLOAT}
    orders = {name: tensor for name, tensor in tensors.items() if name.startswith("order_")}
    expected = {f"order_{layer}": (INT32, [ticks - 1]) for layer, ticks in enumerate(CONFIG.lookback)}
    assert orders == (expected if caches == "delta" else {})


def test_a_file_that_is_no_graph_is_named(graph: to_onnx.StepGraph, tmp_path: Path) -> None:
    (tmp_path / "step.onnx").write_bytes(b"no graph")
    with pytest.raises(BackendError, match=r"step\.onnx: ONNX Runtime can't open it") as refused:
        parity.prove(graph, tmp_path / "step.onnx")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("caches", ["shift", "delta"])
def test_the_published_variant_is_exported_as_well(caches: str, tmp_path: Path) -> None:
    graph = make_graph(replace(CONFIG, classifier_reads="trunk"), caches)
    to_onnx.export_step(graph, tmp_path / "step.onnx")
    assert parity.prove(graph, tmp_path / "step.onnx").ticks > 2 * CONFIG.window_ticks


@pytest.mark.parametrize(("size", "caches"), [("small", "shift"), ("large", "shift"), ("large", "delta")])
def test_presets_are_exported_and_agree(size: str, caches: str, tmp_path: Path) -> None:
    from hal_ros.train.config import load_config

    settings = load_config(Path(__file__).parents[2] / "config" / f"train_{size}.yaml")
    graph = make_graph(HalConfig(4, 6, EYE.width, **vars(settings.model)), caches)
    to_onnx.export_step(graph, tmp_path / "step.onnx")
    assert parity.prove(graph, tmp_path / "step.onnx").ticks > 2 * graph.model.config.window_ticks


TRUNKS: dict[str, dict[str, Any]] = {
    "mingru": {"trunk": "mingru"},
    "rg_lru": {"trunk": "rg_lru", "short_lookback": (3, 5), "recurrent_layers": 1, "differences": (1, 4)},
    "gru": {"trunk": "gru", "recurrent_layers": 1, "context_gate": "vector", "context_every": 3},
}


@pytest.mark.parametrize(
    ("trunk", "caches", "precision"),
    [("mingru", "delta", "fp16"), ("rg_lru", "delta", "fp16"), ("gru", "shift", "fp32")],
)
def test_every_trunk_is_exported_and_agrees(trunk: str, caches: str, precision: str, tmp_path: Path) -> None:
    """Also where there is no window at all: the state then is a few vectors, and rings are none."""
    graph = make_graph(replace(CONFIG, **TRUNKS[trunk]), caches, ROBOTS["states"])  # an eye would only cost time
    path = tmp_path / "step.onnx"
    to_onnx.export_step(halved(graph) if precision == "fp16" else graph, path, "8.6")
    found = parity.prove(graph, path, precision)
    assert found.ticks > 2 * CONFIG.window_ticks and found.label_agreement == 1.0
    assert max(found.output_error, found.state_error) <= (1e-4 if precision == "fp32" else 1e-2)
    inputs, _ = to_onnx.tensor_names(graph.model.config, caches)
    assert [entry.name for entry in onnx.load(path).graph.input] == inputs
    assert ("state_hidden_0" in inputs) and ("state_key_0" in inputs) == (trunk == "rg_lru")


def test_an_eye_that_does_not_fit_the_model_is_refused() -> None:
    with pytest.raises(BackendError, match="expects 11"):
        to_onnx.StepGraph([Eye(EYE)], CausalHal(replace(CONFIG, attended=11)))
    with pytest.raises(BackendError, match="12 columns and 9 joint values; the model expects 12 and 6"):
        to_onnx.StepGraph([Eye(replace(EYE, joint_values=9))], CausalHal(CONFIG))


def test_each_camera_has_one_eye_of_one_kind() -> None:
    model = CausalHal(replace(CONFIG, cameras=2))
    for eyes in ([], [Eye(EYE)], [Eye(EYE)] * 3):
        with pytest.raises(BackendError, match=rf"there are {len(eyes)} eyes; the model expects 2, one"):
            to_onnx.StepGraph(eyes, model)
    with pytest.raises(BackendError, match=r"an eye is .*gazes=3.*; expected .*gazes=2"):
        to_onnx.StepGraph([Eye(EYE), Eye(replace(EYE, gazes=3))], model)


# --- other robots than one with one camera and joints -----------------------------------------------------------------

OTHERS = [name for name in ROBOTS if name != "one"]


@pytest.mark.parametrize("flavour", [FLAVOURS[0], FLAVOURS[3]], ids="-".join)
@pytest.mark.parametrize("robot", OTHERS)
def test_every_robots_graph_is_the_model(
    robot: str, flavour: tuple[str, str], exported: Callable[..., Path], tmp_path: Path
) -> None:
    caches, precision = flavour
    graph, path = make_graph(caches=caches, streams=ROBOTS[robot]), exported(caches, precision, robot)
    found = parity.prove(graph, path, precision)
    limit = 1e-4 if precision == "fp32" else 1e-2
    assert found.ticks > 2 * CONFIG.window_ticks and found.label_agreement == 1.0
    assert max(found.output_error, found.state_error) <= limit
    written = onnx.load(path).graph
    cameras, values = len(ROBOTS[robot].cameras), ROBOTS[robot].value_count
    shapes = {entry.name: [dim.dim_value for dim in entry.type.tensor_type.shape.dim] for entry in written.input}
    widths = {"feature": cameras * EYE.feature_dim, "image_valid": cameras, "joints": values, "joints_valid": values}
    given = {name: [1, width] for name, width in widths.items() if width}
    assert {name: shapes[name] for name in input_names(1, 1) if name in shapes} == given
    assert list(shapes) == to_onnx.tensor_names(graph.model.config, caches)[0]
    for target in ("8.6", "10", "11"):
        check_graph(onnx.load(path), target, robot)


@pytest.mark.parametrize(
    ("robot", "name"),
    [
        ("two", "model.blind_1"),
        ("two", "model.seen_mean_1"),
        ("two", "model.seen_1.weight"),
        ("two", "eye_1.aim.bias"),
        ("two", "eye_1.spread"),
        ("cameras", "eye_1.constant"),
        ("camera", "eye.constant"),
        ("states", "model.joints.mean"),
    ],
)
def test_another_part_of_any_stream_is_noticed(robot: str, name: str, exported: Callable[..., Path]) -> None:
    other = make_graph(streams=ROBOTS[robot])
    with torch.no_grad():
        tensor = other.state_dict()[name]
        tensor.copy_(tensor + 0.1 * torch.arange(1, tensor.numel() + 1).reshape(tensor.shape) / tensor.numel())
    with pytest.raises(BackendError, match="differs from torch"):
        parity.prove(other, exported("shift", "fp32", robot))


def test_exchanged_cameras_are_noticed(exported: Callable[..., Path]) -> None:
    graph = make_graph(streams=TWO)
    exchanged = to_onnx.StepGraph(graph.eyes[::-1], graph.model).eval()
    with pytest.raises(BackendError, match="differs from torch"):
        parity.prove(exchanged, exported("shift", "fp32", "two"))


def test_a_picture_of_each_camera_reaches_the_answer(exported: Callable[..., Path]) -> None:
    graph, path = make_graph(streams=TWO), exported("shift", "fp32", "two")
    rows = parity.stream(graph)[:1]
    half, feature = EYE.feature_dim, rows[0][0]
    there = np.ones((1, 2), np.float32)
    said = []
    for change in (
        feature,
        np.roll(feature, half, 1),
        feature + np.repeat([0, 1], half),
        feature + np.repeat([1, 0], half),
    ):
        row = (change.astype(np.float32), there, *rows[0][2:])
        (one,) = parity._onnx(graph, path, [row])
        said.append(one["log_probs"])
    for index, answer in enumerate(said):
        assert all(np.abs(answer - other).max() > 1e-4 for other in said[:index])


def test_caches_that_no_graph_has_are_refused(graph: to_onnx.StepGraph) -> None:
    with pytest.raises(BackendError, match="caches 'ring' are unknown; expected one of shift, delta"):
        to_onnx.StepGraph(graph.eyes, graph.model, "ring")


def test_the_same_model_gives_the_same_bytes(exported: Callable[[str, str], Path], tmp_path: Path) -> None:
    to_onnx.export_step(make_graph(caches="delta"), tmp_path / "again.onnx", "8.6")
    assert (tmp_path / "again.onnx").read_bytes() == exported("delta", "fp32").read_bytes()
