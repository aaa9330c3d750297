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
from hal_ros.export.operators import check_graph  # noqa: E402
from hal_ros.nn.hal import CausalHal, HalConfig  # noqa: E402
from hal_ros.nn.joint_guided_attention import Eye  # noqa: E402
from hal_ros.runtime.step_state import INPUTS, OUTPUTS  # noqa: E402
from step_graphs import CONFIG, EYE, make_graph  # noqa: E402

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
    assert {tensors[name][0] for name in (*INPUTS, *OUTPUTS)} == {FLOAT}
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


def test_an_eye_that_does_not_fit_the_model_is_refused() -> None:
    with pytest.raises(BackendError, match="expects 11"):
        to_onnx.StepGraph(Eye(EYE), CausalHal(replace(CONFIG, attended=11)))


@pytest.mark.filterwarnings("ignore:Initializing zero-element")  # of torch, about such a model
def test_a_model_without_joints_is_refused() -> None:
    with pytest.raises(BackendError, match=r"^the model has no joints; expected at least one, as "):
        to_onnx.StepGraph(Eye(replace(EYE, joints=0)), CausalHal(replace(CONFIG, joint_values=0)))


def test_caches_that_no_graph_has_are_refused(graph: to_onnx.StepGraph) -> None:
    with pytest.raises(BackendError, match="caches 'ring' are unknown; expected one of shift, delta"):
        to_onnx.StepGraph(graph.eye, graph.model, "ring")


def test_the_same_model_gives_the_same_bytes(exported: Callable[[str, str], Path], tmp_path: Path) -> None:
    to_onnx.export_step(make_graph(caches="delta"), tmp_path / "again.onnx", "8.6")
    assert (tmp_path / "again.onnx").read_bytes() == exported("delta", "fp32").read_bytes()
