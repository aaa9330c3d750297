"""Our code against NVIDIA's own Python modules of five versions: each name, argument and number that it relies on.

The modules come from PyPI at test time. They need libnvinfer to be imported, and get an empty one that is compiled
here: without a GPU nothing can be built or run, but everything can be looked up. What the code needs beyond that is
tested on the fake, and the fake is held against the real modules here.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import fake_tensorrt
from fake_cudart import FakeDevice
from fake_tensorrt import VERSIONS, Faults
from hal_ros.tensorrt.api import DTYPES, KEPT_WIDE, NAMED_SEVERITIES

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / "hal_ros" / name
    for name in (
        "tensorrt/api.py",
        "tensorrt/engine.py",
        "tensorrt/backend.py",
        "tensorrt/build_engine.py",
    )
]
V8, V10_3, V10_13, V10_16, V11 = VERSIONS
# What some versions lack: the code may name it only behind a guard. Each entry is the reason of a guard.
LACKING = {
    ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"): {V8},
    ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"): {V11},
    ("BuilderFlag", "FP16"): {V11},
    ("BuilderFlag", "OBEY_PRECISION_CONSTRAINTS"): {V11},
    ("ILayer", "precision"): {V11},
    ("ILayer", "set_output_type"): {V11},
    ("DataType", "INT64"): {V8},
    ("", "IProgressMonitor"): {V8},
    ("IBuilderConfig", "progress_monitor"): {V8},
    ("ParserError", "node_name"): {V8},
    ("ParserError", "node_operator"): {V8},
}
# Which class an object is of that the sources call so.
OBJECTS = {
    "flags": "NetworkDefinitionCreationFlag",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "refusal": "ParserError",
    "config": "IBuilderConfig",
    "cache": "ITimingCache",
    "layer": "ILayer",
    "_runtime": "Runtime",
    "_cuda_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
}
TYPES = {
    ("ICudaEngine", "get_tensor_name"): (("int",), "str"),
    ("ICudaEngine", "get_tensor_mode"): (("str",), "TensorIOMode"),
    ("ICudaEngine", "get_tensor_dtype"): (("str",), "DataType"),
    ("ICudaEngine", "get_tensor_location"): (("str",), "TensorLocation"),
    ("ICudaEngine", "get_tensor_shape"): (("str",), "Dims"),
    ("ICudaEngine", "create_execution_context"): ((), "IExecutionContext"),
    ("IExecutionContext", "set_tensor_address"): (("str", "int"), "bool"),
    ("IExecutionContext", "execute_async_v3"): (("int",), "bool"),
    ("Runtime", "deserialize_cuda_engine"): (("buffer",), "ICudaEngine"),
    ("Builder", "create_network"): (("int",), "INetworkDefinition"),
    ("Builder", "create_builder_config"): ((), "IBuilderConfig"),
    ("Builder", "build_serialized_network"): (("INetworkDefinition", "IBuilderConfig"), "IHostMemory"),
    ("OnnxParser", "parse"): (("buffer",), "bool"),
    ("OnnxParser", "get_error"): (("int",), "ParserError"),
    ("IBuilderConfig", "set_memory_pool_limit"): (("MemoryPoolType", "int"), "None"),
    ("IBuilderConfig", "set_flag"): (("BuilderFlag",), "None"),
    ("IBuilderConfig", "clear_flag"): (("BuilderFlag",), "None"),
    ("IBuilderConfig", "create_timing_cache"): (("buffer",), "ITimingCache"),
    ("IBuilderConfig", "set_timing_cache"): (("ITimingCache", "bool"), "bool"),
    ("IBuilderConfig", "get_timing_cache"): ((), "ITimingCache"),
    ("ITimingCache", "serialize"): ((), "IHostMemory"),
    ("INetworkDefinition", "get_layer"): (("int",), "ILayer"),
    ("ILayer", "get_output"): (("int",), "ITensor"),
    ("ILayer", "set_output_type"): (("int", "DataType"), "None"),
    ("ILogger", "log"): (("Severity", "str"), "None"),
    ("IProgressMonitor", "step_complete"): (("str", "int"), "bool"),
}
"""What our code passes and expects; the names of classes end the real ones'."""

# Only what the modules import; an engine is never asked for.
STUB = """
#define NOTHING(name) void *name(void) { return 0; }
NOTHING(createInferBuilder_INTERNAL) NOTHING(createInferRuntime_INTERNAL) NOTHING(createInferRefitter_INTERNAL)
NOTHING(createNvOnnxParser_INTERNAL) NOTHING(createNvOnnxParserRefitter_INTERNAL)
NOTHING(getPluginRegistry) NOTHING(getBuilderPluginRegistry)
NOTHING(_ZN11nvuffparser15createUffParserEv) NOTHING(_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi)
NOTHING(_ZN14nvcaffeparser117createCaffeParserEv) NOTHING(_ZN14nvcaffeparser123shutdownProtobufLibraryEv)
int getNvOnnxParserVersion(void) { return 0; }
int initLibNvInferPlugins(void *logger, const char *name) { return 1; }
int getInferLibBuildVersion(void) { return 26; }
"""
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser", "nvparsers")


# --- the real modules -------------------------------------------------------------------------------------------------


@cache
def download(version: str) -> tuple[Path | None, str]:
    """Return the wheel of NVIDIA's module, downloaded once per machine, or why it can't be had."""
    name = "tensorrt-bindings" if version == V8 else "tensorrt-cu12-bindings"
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hal_ros_test"
    folder = root / f"{name}-{version}-cp{sys.version_info.major}{sys.version_info.minor}"
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--retries=0"]
        command += ["--timeout=20", "--disable-pip-version-check", "-q", "-d", str(folder), f"{name}=={version}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, f"{name} {version} can't be downloaded: {error}"
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["pip does not say why"]
            return None, f"{name} {version} can't be downloaded: {lines[-1]}"
    return next(folder.glob("*.whl")), ""


def compile_stub(folder: Path, major: str) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of libnvinfer")
    source = folder / "stub.c"
    source.write_text(STUB)
    for name in LIBRARIES:
        soname = f"lib{name}.so.{major}"
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", str(folder / soname), str(source)]
        subprocess.run(command, check=True, capture_output=True)


class Real(NamedTuple):
    """What describe_tensorrt.py found out about one version."""

    version: str
    classes: dict[str, dict[str, list[str]]]
    enumerations: dict[str, dict[str, int]]
    trial: dict[str, Any]

    def has(self, owner: str, name: str) -> bool:
        """Tell whether the module has owner.name; owner is "" for the module itself."""
        if not owner:
            return name in self.classes or name in self.enumerations or name == "__version__"
        return name in self.enumerations.get(owner, {}) or name in self.classes.get(owner, {})

    def signatures(self, owner: str, method: str) -> list[Signature]:
        """Return the overloads of a method, without self."""
        return read_signatures(self.classes[owner][method][1], method)


class Signature(NamedTuple):
    """What pybind11 wrote about one overload."""

    parameters: tuple[tuple[str, str, bool], ...]  # name, type, whether it has a default
    result: str

    def takes(self, positional: int, keywords: set[str]) -> bool:
        """Tell whether a call with so many positional arguments and these keywords fits."""
        names = [name for name, _, _ in self.parameters]
        given = set(names[:positional]) | keywords
        needed = {name for name, _, default in self.parameters if not default}
        return positional <= len(names) and keywords <= set(names[positional:]) and needed <= given


def read_signatures(text: str, method: str) -> list[Signature]:
    """Read `name(self: T, a: int = 3) -> bool`, one per overload."""
    found = re.findall(rf"^(?:\d+\. )?{method}\((?!\*args)(.*)\) -> (.*)$", text, flags=re.MULTILINE)
    return [Signature(tuple(map(_parameter, _split(parameters)[1:])), result.strip()) for parameters, result in found]


def _split(text: str) -> list[str]:
    return re.split(r", (?=\w+:)", text)


def _parameter(text: str) -> tuple[str, str, bool]:
    name, _, rest = text.partition(": ")
    kind, _, default = rest.partition(" = ")
    return name, kind, bool(default)


def same_type(real: str, ours: str) -> bool:
    """Tell whether pybind11's name of a type means what we call so."""
    spellings = {"int": ("int", "typing.SupportsInt", "typing.SupportsIndex"), "buffer": ("buffer", "Buffer")}
    ends = spellings.get(ours, (ours, f"I{ours}"))
    last = re.split(r"\.|::", real)[-1]
    return real in ends or last in ends


@cache
def describe(version: str, folder: Path) -> Real:
    """Import one real module in a process of its own and return what it has."""
    wheel, why_not = download(version)
    if wheel is None:
        pytest.skip(why_not)
    site = folder / version
    site.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "tensorrt.py").write_text(
        "import sys\nimport tensorrt_bindings\nsys.modules[__name__] = tensorrt_bindings\n"
    )
    compile_stub(site, version.split(".")[0])
    # The wheels look for their libraries beside themselves, and the loader first where it is told to.
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (site, ROOT))), "LD_LIBRARY_PATH": str(site)}
    told = site / "described.json"
    command = [sys.executable, "-W", "ignore", str(ROOT / "test" / "fakes" / "describe_tensorrt.py"), str(told)]
    done = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Real(version, **json.loads(told.read_text()))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tensorrt")


@pytest.fixture(params=VERSIONS)
def real(request: pytest.FixtureRequest, site: Path) -> Real:
    return describe(request.param, site)


# --- what our sources use ---------------------------------------------------------------------------------------------


class Call(NamedTuple):
    """One call of a method, or of a class as `__init__`."""

    owner: str
    method: str
    positional: int
    keywords: frozenset[str]
    where: str


def functions() -> Iterator[tuple[Path, ast.AST]]:
    """Yield all functions of the sources but those that parse a command line."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name != "main":
                yield path, node


def owner_of(node: ast.expr) -> str | None:
    """Return the class of the object or enumeration that an expression names; "" for the module."""
    if isinstance(node, ast.Name):
        return "" if node.id == "trt" else OBJECTS.get(node.id)
    if isinstance(node, ast.Attribute):
        return node.attr if owner_of(node.value) == "" else OBJECTS.get(node.attr)
    return None


def used_names() -> set[tuple[str, str]]:
    """Return all (class, attribute) that the sources name, and those that they look up by strings."""
    found = {("DataType", name) for name in DTYPES} | {("LayerType", name) for name in KEPT_WIDE}
    found |= {("Severity", name) for name in NAMED_SEVERITIES} | {("ITensor", "dtype")}
    for _, function in functions():
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and (owner := owner_of(node.value)) is not None:
                found.add((owner, node.attr))
    return found - {("ILogger", "__init__"), ("IProgressMonitor", "__init__")}


def used_calls() -> list[Call]:
    """Return all calls that the sources make."""
    found = []
    for path, function in functions():
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner, name = owner_of(node.func.value), node.func.attr
            if owner is None or name == "__init__":
                continue
            owner, method = (name, "__init__") if owner == "" else (owner, name)
            keywords = frozenset(keyword.arg or "**" for keyword in node.keywords)
            found.append(Call(owner, method, len(node.args), keywords, f"{path.name}:{node.lineno}"))
    return found


def overridden() -> list[tuple[str, str, list[str]]]:
    """Return (class, method, parameters) of what our subclasses override."""
    return [
        (base.attr, method.name, [argument.arg for argument in method.args.args[1:]])
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Attribute) and owner_of(base.value) == ""
        for method in node.body
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
    ]


def test_the_sources_are_read() -> None:
    """The tests below would hold for sources in which nothing is found."""
    names, calls = used_names(), {(call.owner, call.method) for call in used_calls()}
    assert {("IExecutionContext", "execute_async_v3"), ("Runtime", "deserialize_cuda_engine")} <= names & calls
    assert {("", "IProgressMonitor"), ("BuilderFlag", "FP16"), ("TensorIOMode", "INPUT")} <= names
    assert calls - {("Runtime", "__init__"), ("Builder", "__init__"), ("OnnxParser", "__init__")} <= set(TYPES) | {
        ("ICudaEngine", "num_io_tensors"),
        *((owner, name) for owner, name in calls if owner in ("ParserError", "ILogger")),
    }
    assert {(owner, method) for owner, method, _ in overridden()} == {
        ("ILogger", "log"),
        *(("IProgressMonitor", method) for method in ("phase_start", "step_complete", "phase_finish")),
    }


def test_each_name_exists_unless_it_is_guarded(real: Real) -> None:
    """The other way round, too: a guard against nothing is not kept."""
    missing = {(owner, name) for owner, name in used_names() if not real.has(owner, name)}
    assert missing == {pair for pair, versions in LACKING.items() if real.version in versions}


def test_each_call_fits_a_signature(real: Real) -> None:
    for call in used_calls():
        if real.has(call.owner, call.method):
            overloads = real.signatures(call.owner, call.method)
            fits = any(overload.takes(call.positional, set(call.keywords)) for overload in overloads)
            assert fits, f"{call.where}: {call.owner}.{call.method} takes {overloads}"


@pytest.mark.parametrize(("owner", "method"), TYPES)
def test_types_are_those_that_are_passed(real: Real, owner: str, method: str) -> None:
    if not real.has(owner, method):
        assert real.version in LACKING.get((owner, method), LACKING.get(("", owner), set()))
        return
    given, result = TYPES[owner, method]

    def fits(overload: Signature) -> bool:
        kinds = [kind for _, kind, _ in overload.parameters]
        return all(map(same_type, kinds, given)) and len(kinds) >= len(given) and same_type(overload.result, result)

    overloads = real.signatures(owner, method)
    assert any(map(fits, overloads)), overloads


def test_what_is_overridden_has_the_same_parameters(real: Real) -> None:
    for owner, method, parameters in overridden():
        if real.has("", owner):
            (signature,) = real.signatures(owner, method)
            assert [name for name, _, _ in signature.parameters] == parameters


@pytest.mark.parametrize(
    ("text", "positional", "keywords", "fits"),
    [
        ("f(self: T, a: int, b: str = None) -> bool", 1, set(), True),
        ("f(self: T, a: int, b: str = None) -> bool", 1, {"b"}, True),
        ("f(self: T, a: int, b: str = None) -> bool", 0, set(), False),
        ("f(self: T, a: int, b: str = None) -> bool", 3, set(), False),
        ("f(self: T, a: int) -> bool", 1, {"c"}, False),
        (
            "f(*args, **kwargs)\nOverloaded function.\n\n1. f(self: T) -> bool\n\n2. f(self: T, a: int) -> bool",
            1,
            set(),
            True,
        ),
    ],
)
def test_signatures_are_read(text: str, positional: int, keywords: set[str], fits: bool) -> None:
    assert any(signature.takes(positional, keywords) for signature in read_signatures(text, "f")) is fits


# --- what our code does with them -------------------------------------------------------------------------------------


def test_our_code_runs_on_the_real_module(real: Real) -> None:
    trial = real.trial
    assert trial["version"] == (real.version if real.version.count(".") == 3 else f"{real.version}.26")
    assert trial["flags"] == (1 if real.version in (V8, V11) else 2)  # 11 gave STRONGLY_TYPED the number 0
    assert trial["said"] == ["internal error: internal_error", "error: error", "warning: warning"]
    assert trial["dtypes"] == {"FLOAT": "float32", "HALF": "float16", "UINT8": "uint8"}
    assert "FP8 can't be used" in trial["odd_dtype"]
    assert trial["dims"] == [1, 4, 3]


def test_a_build_is_watched_where_that_exists(real: Real) -> None:
    watched = real.version != V8
    assert real.trial["monitored"] is watched
    assert real.trial["steps"] == ([["build", 0, 2], ["build", 1, 2], ["build", 2, 2]] if watched else [])
    assert real.trial["going"] == ([True, True] if watched else [])


def test_no_gpu_is_told_in_one_line(real: Real) -> None:
    """The real modules raise TypeError for the null pointer that a machine without driver gives."""
    assert real.trial["engine"].startswith("TensorRT can't start on this machine")
    assert real.trial["build"].startswith("TensorRT has no builder here")


# --- the fake against them --------------------------------------------------------------------------------------------


def fake_classes(version: str) -> dict[str, type]:
    """Return the classes of the fake module that stand for real ones."""
    module = fake_tensorrt.make(version, FakeDevice(), Faults()).module
    return {
        name: kind for name, kind in vars(module).items() if inspect.isclass(kind) and not hasattr(kind, "__members__")
    }


def fake_members(kind: type) -> dict[str, Any]:
    """Return public methods, properties and attributes of a fake class, those that it sets in `__init__` as None."""
    ours = [base for base in kind.__mro__ if base.__module__ in (fake_tensorrt.__name__, "abc")]
    members = {name: value for base in reversed(ours) for name, value in vars(base).items() if name[0] != "_"}
    for base in ours:
        if "__init__" in vars(base):
            source = inspect.getsource(vars(base)["__init__"])
            members |= dict.fromkeys(re.findall(r"self\.([a-z]\w*)(?=,? )", source))
    return {name: value for name, value in members.items() if name not in ("trt", "fakes")}


def is_short_for(fake: Any, overload: Signature) -> bool:
    """Tell whether a fake method has the real one's first parameters; those that it leaves out have defaults."""
    ours = [(p.name, p.default is not p.empty) for p in inspect.signature(fake).parameters.values()][1:]
    theirs = [(name, default) for name, _, default in overload.parameters]
    return ours == theirs[: len(ours)] and all(default for _, default in theirs[len(ours) :])


def test_the_fake_has_nothing_that_the_real_module_lacks(real: Real) -> None:
    module = fake_tensorrt.make(real.version, FakeDevice(), Faults()).module
    for name, kind in fake_classes(real.version).items():
        assert name in real.classes
        for member, value in fake_members(kind).items():
            assert real.has(name, member) or member in ("Severity",), f"{name}.{member}"
            if inspect.isfunction(value):
                overloads = real.signatures(name, member)
                assert any(is_short_for(value, overload) for overload in overloads), f"{name}.{member}: {overloads}"
    for name, members in vars(module).items():
        if hasattr(members, "__members__"):
            assert set(members.__members__) <= set(real.enumerations[name]), name
    for name in ("NetworkDefinitionCreationFlag", "Severity"):  # their numbers are used, not only their names
        ours = fake_tensorrt.Severity if name == "Severity" else getattr(module, name)
        assert {key: int(value) for key, value in ours.__members__.items()}.items() <= real.enumerations[name].items()


def test_a_fake_of_another_version_is_noticed(site: Path) -> None:
    old, new = describe(V8, site), describe(V11, site)
    assert any(not old.has(name, member) for name, kind in fake_classes(V11).items() for member in fake_members(kind))
    assert any(not new.has(name, member) for name, kind in fake_classes(V8).items() for member in fake_members(kind))
