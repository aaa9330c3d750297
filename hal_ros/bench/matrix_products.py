"""The step in ONNX Runtime against the bare matrix products of the same graph: what the runtime adds to the arithmetic.

The products are those of the graph's own MatMul and Gemm nodes, with the operands that one tick gives them; NumPy hands
them to its BLAS one after the other. Run as a program, this is the process that measures: BLAS chooses its threads when
NumPy is imported, so that one thread takes a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.bench.model import Stepper, random_inputs
from hal_ros.bench.rows import BenchRow, at_most, baseline
from hal_ros.bench.timing import in_turns, ratio
from hal_ros.core.errors import BackendError, HalError
from hal_ros.core.work import ONE_THREAD
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import STEP, load_bundle
from hal_ros.runtime.sessions import TYPES, open_session

NAME, LIMIT = "step in ONNX Runtime against its bare matrix products", 1.5
EXPECTED = [(NAME, "times", f"<= {LIMIT:g}")]
MEASURE_LIMIT_S = 300.0
Array = NDArray[Any]


@dataclass(frozen=True)
class Product:
    """One matrix product of a graph and where its result goes; leading dimensions of 1 are left out."""

    name: str  # of the node's output
    left: Array  # (..., m, k)
    right: Array  # (..., k, n)
    out: Array  # (..., m, n)


def rows(folder: Path, rounds: int = 100) -> list[BenchRow]:
    """Measure a bundle on one thread. Raises BackendError when the process that measures fails."""
    command = [sys.executable, "-m", __name__, str(folder), str(rounds)]
    environment = {**os.environ, **ONE_THREAD}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=MEASURE_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"timing the products took longer than {MEASURE_LIMIT_S:.0f} s") from error
    if done.returncode:
        raise BackendError((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    found = json.loads(done.stdout)
    millions = found["multiplications"] / 1e6
    note = f"{found['count']} products, {millions:.2f} million multiplications, one thread, processor time in turns"
    return [
        at_most(NAME, found["ratio"], "times", LIMIT, note),
        baseline("of this, step in ONNX Runtime", found["step_ms"], "ms"),
        baseline("of this, products in NumPy", found["products_ms"], "ms"),
    ]


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Time both in turns in this process, whatever threads BLAS has here. Raises as `products` and open_backend do."""
    bundle = load_bundle(folder)
    chain = products(bundle.path(STEP))
    backend, _ = open_backend(bundle, "onnxruntime")
    step = Stepper(backend, random_inputs(bundle.card), bundle.card.window_ticks)
    times = in_turns({"step": step, "products": multiplied(chain)}, rounds)
    return {
        "ratio": ratio(times["step"], times["products"]),
        "step_ms": float(np.median(times["step"])),
        "products_ms": float(np.median(times["products"])),
        "count": len(chain),
        "multiplications": sum(product.out.size * product.left.shape[-1] for product in chain),
    }


def products(path: Path, feeds: dict[str, Array] | None = None) -> list[Product]:
    """Return the matrix products of a graph in its order, with the operands of one run.

    `feeds` are the inputs of that run, random ones by default. Raises BackendError when onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise BackendError(f"reading a graph's products needs onnx ({error}); expected `pip install onnx`") from error
    graph = onnx.load(path).graph
    nodes = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    values = run_exposed(path, [name for node in nodes for name in node.input[:2]], feeds)
    found = []
    for node in nodes:
        left, right = (values[name] for name in node.input[:2])
        turned = {attribute.name: attribute.i for attribute in node.attribute}
        left = left.T if turned.get("transA") else left
        right = right.T if turned.get("transB") else right
        found.append(_product(node.output[0], left, right))
    return found


def multiplied(chain: Sequence[Product]) -> Callable[[], None]:
    """Return the function that computes all products into their `out`; only what BLAS takes as it is goes by dot."""
    calls = [(np.dot if p.out.ndim == 2 else np.matmul, p.left, p.right, p.out) for p in chain]

    def multiply() -> None:
        for function, left, right, out in calls:
            function(left, right, out)

    return multiply


def run_exposed(path: Path, names: Sequence[str], feeds: dict[str, Array] | None = None) -> dict[str, Array]:
    """Return the values that tensors of a graph, whatever they are, have in one run (see `products`)."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    values: dict[str, Array] = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    outputs = {output.name for output in graph.output}
    inner = {name for name in names if name not in values and all(name != entry.name for entry in graph.input)}
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(inner - outputs))
    session = open_session(model.SerializeToString(), optimised="off")  # every tensor stays
    values |= {entry.name: _fed(entry) for entry in session.get_inputs()} | (feeds or {})
    wanted = sorted(inner)
    given = {entry.name: values[entry.name] for entry in session.get_inputs()}
    values |= dict(zip(wanted, session.run(wanted, given), strict=True))
    return {name: values[name] for name in names}


def _fed(entry: Any) -> Array:
    """Return an input as a long-running stream has it: all is valid, rings stand in order."""
    dtype, shape = np.dtype(TYPES[entry.type]), tuple(entry.shape)
    if dtype == np.int32:
        return np.arange(shape[0], dtype=dtype)
    if "valid" in entry.name:
        return np.ones(shape, dtype)
    seed = sum(map(ord, entry.name))  # the same numbers each time, others for each input
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def _product(name: str, left: Array, right: Array) -> Product:
    left, right = _bare(left), _bare(right)
    if right.ndim == 2:
        left = left.reshape(-1, left.shape[-1])  # the rows of all leading dimensions in one product
    out = np.empty(np.matmul(left, right).shape, np.result_type(left, right))
    return Product(name, left, right, out)


def _bare(operand: Array) -> Array:
    while operand.ndim > 2 and operand.shape[0] == 1:
        operand = operand[0]
    return operand


if __name__ == "__main__":
    try:
        print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
    except HalError as error:
        sys.exit(str(error))
