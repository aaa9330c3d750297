"""What other programs may import: neither a name that goes nor one that comes goes unnoticed.

All else in hal_ros may change without notice. A name that is taken out of this list, or added, is worth a line in
CHANGELOG.rst.
"""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

import pytest

ROOT = Path(__file__).parent.parent
# Of each module all functions and classes, and those constants that are promised.
PUBLIC = {
    "core.answers": "ActionEstimate Answer BoundaryEstimate NO_ACTION Segment",
    "core.arrays": "ByteArray FloatArray",
    "core.card": "DecoderSpec EncoderSpec ModelCard Priors",
    "core.errors": "BackendError BagError CardError ConfigError DatasetError HalError ImageError",
    "core.decoding.known_plan": "PlanEstimate PlanState PlanTracker action_ids generic_priors plan_ids plan_names",
    "core.observations": "Observation",
    "core.segmenter": "EncodedPicture OpenSegment PendingTick Segmenter SegmenterState",
    "core.segments": "Labels Run runs sample_segments transcript without",
    "core.step": "Backend StepInput StepOutput Stepping",
    "core.streams.spec": "CameraSpec StateSpec StreamSpec ValueName single",
    "bags.messages": (
        "definition_folder deserialise duration_message header_message header_stamp_ns known_class schema_hash "
        "schema_text serialise time_message to_ns typestore"
    ),
    "bags.reader": (
        "BagMessage BagNotes BagWriter METADATA RawMessage TopicForm bag_files qos_profile qos_text raw_messages "
        "raw_metadata raw_topics read_messages topic_forms topic_types"
    ),
    "bags.writer": "BagWriter METADATA TopicForm qos_profile qos_text",
    "datasets.formats.layout_files": (
        "LabelReader find_split read_lines read_mapping read_split shown write_clip_files write_dataset_files"
    ),
    "datasets.formats.layouts": "Dataset LAYOUTS Layout SUBSETS find_layout read_dataset subsample to_full_length",
    "metrics.segmentation": (
        "Counts Overlap Pair Scores annotated count_segments edit_score f1_per_video f1_pooled levenshtein "
        "mean_over_frames overlap_per_class overlap_per_segment pooled scores_of segment_ratio"
    ),
    "metrics.timing": (
        "Boundaries Delays LatencySummary TimedAnswers Times boundary_scores detection_delays find_boundaries "
        "label_churn match_boundaries summarise_delays true_segments"
    ),
    "runtime.backend": "BackendOptions CHOICES DEFAULTS about open_backend provider_names",
    "runtime.bundle": (
        "Bundle CARD ENCODER FILES FORMAT GOLDEN STEP WEIGHTS bundle_metadata file_sha256 graph_files "
        "load_bundle read_card save_card"
    ),
    "runtime.golden": (
        "GateLimits GateVerdict GoldenTick LIMITS TOLERANCE check_golden encode_all gate golden_fault margin_of "
        "read_golden stream"
    ),
}
NAMES = [(module, name) for module, names in PUBLIC.items() for name in names.split()]


def imported(module: str) -> ModuleType:
    return importlib.import_module(f"hal_ros.{module}")


def functions_and_classes(module: ModuleType) -> set[str]:
    """Return what __all__ names, or else what is defined in the module itself without a leading underscore."""
    own = {name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__}
    names = getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    return {name for name in names if not is_constant(getattr(module, name))}


def is_constant(value: Any) -> bool:
    """Tell numbers, texts and names of types from what has a docstring of its own."""
    return get_origin(value) is not None or not (inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value)))


@pytest.mark.parametrize("module", PUBLIC)
def test_no_name_comes_or_goes_unnoticed(module: str) -> None:
    listed = {name for name in PUBLIC[module].split() if not is_constant(getattr(imported(module), name))}
    assert functions_and_classes(imported(module)) == listed


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_name_is_there_and_says_what_it_is(module: str, name: str) -> None:
    value = getattr(imported(module), name)
    if not is_constant(value):
        assert value.__doc__
        assert not value.__doc__.startswith(f"{name}(")  # which a dataclass writes by itself


@pytest.mark.parametrize("module", PUBLIC)
def test_every_module_says_what_it_is(module: str) -> None:
    assert imported(module).__doc__


def test_names_are_sorted() -> None:
    for module, names in PUBLIC.items():
        assert names.split() == sorted(set(names.split())), module


def test_a_name_that_comes_or_goes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = imported("core.step")

    def new() -> None:
        """Come from nowhere."""

    new.__module__ = module.__name__
    before = functions_and_classes(module)
    monkeypatch.setattr(module, "new", new, raising=False)
    assert functions_and_classes(module) == before | {"new"}
    monkeypatch.delattr(module, "StepInput")
    assert functions_and_classes(module) == (before | {"new"}) - {"StepInput"}


def test_the_documents_import_public_names_alone() -> None:
    texts = [path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
    found = [
        (module, name.strip())
        for text in texts
        for module, names in re.findall(r"^ *from hal_ros\.([\w.]+) import ([\w, ]+)", text, re.MULTILINE)
        for name in names.split(",")
    ]
    assert found
    assert set(found) <= set(NAMES)


def test_the_installed_package_says_that_it_is_typed(tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "hal_ros" / "py.typed").is_file()
    assert not (tmp_path / "hal_ros" / "py.typed").read_bytes()  # "partial" would say that stubs lack something
