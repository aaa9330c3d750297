"""Every reader of a file that may come from somebody else, with a file that it takes and the damage done to that.

Run as a program, it damages the file a few hundred times for each reader named, and prints as JSON, by reader, what was
neither read nor refused with one HalError, took longer than LIMIT_S, or more than LIMIT_BYTES.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mutations
from fakes import COLOURS, make_card, make_streams
from hal_ros.bags.reader import METADATA, BagWriter, read_messages, topic_types
from hal_ros.bench import rows as bench_rows
from hal_ros.core.errors import HalError
from hal_ros.datasets import episodes
from hal_ros.datasets.formats.layouts import read_dataset
from hal_ros.datasets.look.marks import read_marks
from hal_ros.metrics import answer_files
from hal_ros.offline.plan import read_plan
from hal_ros.outside import outputs
from hal_ros.ros.parameter_files import given_to
from hal_ros.runtime.bundle import CARD, GOLDEN, STEP, WEIGHTS, Bundle, load_bundle, save_card
from hal_ros.runtime.golden import read_golden
from hal_ros.train.config import load_config

LIMIT_S, LIMIT_BYTES = 5, 500 << 20
HANGS_S = 30  # of the clock on the wall, where a busy machine lets others go first
Damage = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Reader:
    """`make` fills an empty folder and returns the file that is damaged; `read` is given that file's path."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    damage: Damage


def _written(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


# --- bundles ----------------------------------------------------------------------------------------------------------


def _bundle(folder: Path) -> Path:
    (folder / STEP).write_bytes(b"no graph")
    save_card(make_card(), folder)
    return folder / CARD


def _golden(folder: Path) -> Path:
    ticks, card = 3, make_card()
    spec, actions = card.streams, len(card.vocabulary)
    np.savez(
        folder / GOLDEN,
        images=np.zeros((ticks, 1, spec.size_px, spec.size_px, 3), np.uint8),
        image_valid=np.ones((ticks, 1), np.float32),
        joints=np.zeros((ticks, spec.value_count), np.float32),
        joints_valid=np.zeros((ticks, spec.value_count), np.float32),
        log_probs=np.zeros((ticks, actions), np.float32),
        lagged_log_probs=np.zeros((ticks, actions), np.float32),
        boundary=np.zeros(ticks, np.float32),
    )
    return folder / GOLDEN


def _read_golden(path: Path) -> object:
    return read_golden(Bundle(make_card(files={GOLDEN: ""}), path.parent, ""))


def _small_model() -> Any:
    from hal_ros.nn.hal import CausalHal, HalConfig

    values = make_streams(camera=None).value_count
    sizes: dict[str, Any] = {"width": 16, "heads": 2, "lookback": (3, 3), "feed_forward": 16}
    return CausalHal(HalConfig(len(COLOURS), values, cameras=0, attended=0, **sizes))


def _weights(folder: Path) -> Path:
    model = _small_model()
    about = {"format": 1, "hal": model.config.to_json()}
    arrays: dict[str, Any] = {f"model/{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
    np.savez(folder / WEIGHTS, about=np.array(json.dumps(about)), **arrays)
    return folder / WEIGHTS


def _read_weights(path: Path) -> object:
    from hal_ros.runtime.torch_backend import TorchBackend

    card = make_card(streams=make_streams(camera=None), encoder=None, window_ticks=5, files={WEIGHTS: ""})
    return TorchBackend(Bundle(card, path.parent, ""))


def _own_encoder(folder: Path) -> Path:
    import own_encoders

    return own_encoders.conv_planes(folder / "mine.onnx")


def _read_own_encoder(path: Path) -> object:
    import own_encoders
    from hal_ros.nn.onnx_encoder import read_own

    return read_own(path, own_encoders.SIZE_PX)


# --- runs and their settings ------------------------------------------------------------------------------------------

SETTINGS = """name: mine
supervision: transcripts
data:
  folder: datasets/mine
  rate_hz: 10.0
  actions: [reach, grasp]
  streams:
    clock: front
    cameras: {front: {topic: /camera, size_px: 64}}
    states: {arm: {names: [a, b], max_age_s: 0.1}}
model: {width: 64, lookback: [3, 5]}
"""


def _checkpoint(folder: Path) -> Path:
    from hal_ros.fit import checkpoint
    from hal_ros.train.config import TrainConfig, to_mapping

    model = _small_model()
    tensors = {f"best/{name}": tensor for name, tensor in model.state_dict().items()}
    about = {"hal": model.config.to_json(), "config": to_mapping(TrainConfig(name="mine"))}
    checkpoint.save(folder, checkpoint.Checkpoint(tensors, about))
    return folder / checkpoint.FILE


def _read_checkpoint(path: Path) -> object:
    from hal_ros.train import stages

    with_eyes, stages.eye_folders = stages.eye_folders, lambda *_: ()  # type: ignore[assignment]
    try:
        return stages.load_run(path.parent)
    finally:
        stages.eye_folders = with_eyes


def _labels(folder: Path) -> Path:
    from hal_ros.labels.targets import LABELS, Targets, save_targets

    ids = {"clip": np.zeros(4, np.int64)}
    ones = np.ones((4, 3), np.float32)
    save_targets(folder, Targets(ids, ids, {"clip": ones}, {"clip": ones[:, 0]}))
    return folder / LABELS


def _read_labels(path: Path) -> object:
    from hal_ros.labels.targets import load_targets

    return load_targets(path.parent)


def _read_declaration(path: Path) -> object:
    from hal_ros.experiments.declaration import load_declaration

    return load_declaration(path)


def _job(folder: Path) -> Path:
    from hal_ros.experiments.graph import Graph, Job, Store

    place = Store(folder).path(Graph([Job("one", "kind")]), "one")
    place.mkdir()
    about = {"name": "one", "kind": "kind", "settings": {}, "inputs": {}, "seconds": 1.5}
    (place / "job.json").write_text(json.dumps(about))
    return place / "job.json"


def _read_job(path: Path) -> object:
    from hal_ros.experiments.graph import Graph, Job, Store

    return Store(path.parent.parent).about(Graph([Job("one", "kind")]), "one")


def _answers(folder: Path) -> Path:
    rows = np.zeros((4, 3), np.float32)
    ids = np.zeros(4, np.int64)
    answer_files.save(folder / "a.npz", [answer_files.ClipAnswers("clip", ids, ids, (1, 2), rows, rows, rows[:, 0])])
    return folder / "a.npz"


def _bench(folder: Path) -> Path:
    row = {"name": "a", "measured": 1.0} | dict.fromkeys(("unit", "budget", "verdict", "note"), "")
    (folder / "bench.json").write_text(json.dumps([row]))
    return folder / "bench.json"


# --- data -------------------------------------------------------------------------------------------------------------


def _bag(folder: Path) -> Path:
    bag = folder / "bag"
    with BagWriter(bag) as writer:
        writer.write("/clock", "rosgraph_msgs/msg/Clock", b"\0\1\0\0" + bytes(8), 1)
    return bag / METADATA


def _read_bag(path: Path) -> object:
    return topic_types(path.parent), list(read_messages(path.parent))


def _episode(file: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        stamps, flags = np.arange(3), np.zeros(3, bool)
        rows = np.zeros((3, 1), np.float32)
        pictures = {"camera": np.zeros((3, 2, 2, 3), np.uint8)}
        episode = episodes.Episode("e", stamps, flags, flags, rows, pictures, rows, rows, stamps, ("a",), {"due": 3})
        episodes.save(episode, folder)
        return folder / file

    return make


def _layout(file: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for name in ("groundTruth", "features", "splits"):
            (folder / name).mkdir()
        (folder / "mapping.txt").write_text("0 background\n1 reach\n")
        for clip in ("one", "two"):
            (folder / "groundTruth" / f"{clip}.txt").write_text("reach\nreach\nbackground\n")
            np.save(folder / "features" / f"{clip}.npy", np.zeros((4, 3), np.float32))
        (folder / "splits" / "train.split1.bundle").write_text("one.txt\n")
        (folder / "splits" / "test.split1.bundle").write_text("two.txt\n")
        return folder / file

    return make


def _read_layout(path: Path) -> object:
    root = path.parent if path.name == "mapping.txt" else path.parent.parent
    return read_dataset(root, derive_transcripts=True)


def _listing(folder: Path) -> Path:
    (folder / "made").mkdir()
    (folder / "made" / "file").touch()
    outputs.note_folder(folder, folder / "made")
    return folder / outputs.LISTINGS / "made.json"


def _check_listing(path: Path) -> None:
    outputs.check_folder(path.parent.parent, path.parent.parent / "made", bool)


ANNOTATION = json.dumps({"segments": [{"action": "reach", "start_ns": 1, "end_ns": 5}] * 3, "seed": 1})
DECLARATION = "tabletop: {run: config/train.yaml}\nquick: {run: {}}\ngesture_phase: {}\nother_robots: {}\n"
PARAMETERS = "/**:\n  ros__parameters: {model: mine, rate: 10.0}\nsegmenter:\n  ros__parameters:\n    log: {level: 2}\n"
READERS = {
    name: Reader(make, read, damage)
    for damage, readers in {
        mutations.damaged_json: {
            "card": (_bundle, lambda path: load_bundle(path.parent)),
            "job of the store": (_job, _read_job),
            "benchmark rows": (_bench, bench_rows.load),
            "annotation": (_written("annotation.json", ANNOTATION), lambda path: episodes.read_annotation(path.parent)),
            "cached name": (_episode(episodes.ABOUT), lambda path: episodes.name_of(path.parent)),
            "cached account": (_episode(episodes.ABOUT), lambda path: episodes.load(path.parent)),
            "listing": (_listing, _check_listing),
        },
        mutations.damaged_arrays: {
            "golden arrays": (_golden, _read_golden),
            "weights": (_weights, _read_weights),
            "checkpoint": (_checkpoint, _read_checkpoint),
            "labels": (_labels, _read_labels),
            "answers": (_answers, answer_files.load),
            "cached rows": (_episode(episodes.ROWS), lambda path: episodes.load(path.parent)),
        },
        mutations.damaged_yaml: {
            "settings": (_written("train.yaml", SETTINGS), load_config),
            "parameters": (_written("node.yaml", PARAMETERS), lambda path: given_to("segmenter", "", path)),
            "declaration": (_written("tables.yaml", DECLARATION), _read_declaration),
            "metadata of a bag": (_bag, _read_bag),
        },
        mutations.damaged_lines: {
            "transcript": (
                _written("transcript.txt", "reach\ngrasp\n"),
                lambda path: episodes.read_transcript(path.parent),
            ),
            "marks": (_written("marks.csv", "start_s,end_s,action\n0.5,2,reach\n4,,reach->grasp\n"), read_marks),
            "plan": (_written("plan.txt", "red\ngreen # then\nblue\n"), lambda path: read_plan(path, make_card())),
            "mapping": (_layout("mapping.txt"), _read_layout),
            "split": (_layout("splits/train.split1.bundle"), _read_layout),
            "ground truth": (_layout("groundTruth/one.txt"), _read_layout),
        },
        mutations.damaged_bytes: {
            "features": (_layout("features/one.npy"), _read_layout),
            "own encoder": (_own_encoder, _read_own_encoder),
        },
    }.items()
    for name, (make, read) in readers.items()
}


class TooLongError(Exception):
    """A case took longer than LIMIT_S."""


def _stop(*_: object) -> None:
    raise TooLongError


def fault_of(reader: Reader, path: Path) -> str:
    """Read a file; return what was neither success nor one HalError of one line, '' where it was."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    signal.setitimer(signal.ITIMER_REAL, HANGS_S)
    try:
        reader.read(path)
    except HalError as error:
        if isinstance(error.__cause__, MemoryError | TooLongError):
            return f"more than {LIMIT_BYTES >> 20} MB or {LIMIT_S} s: {error}"
        return f"several lines: {error}" if "\n" in str(error) else ""
    except BaseException:  # noqa: BLE001 - that is what is looked for
        return traceback.format_exc(limit=-3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def faults(reader: Reader, seed: int, count: int) -> list[str]:
    """Return the faults of one reader: of its file damaged `count` times, and of what is no file at all."""
    rng = random.Random(seed)
    found = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = reader.make(folder)
        if text := fault_of(reader, path):
            return [f"the whole file: {text}"]
        whole = path.read_bytes()
        for number in range(count):
            path.write_bytes(reader.damage(whole, rng))
            if text := fault_of(reader, path):
                found.append(f"damage {number}: {path.read_bytes()[:300]!r}\n{text}")
        for name, make in mutations.no_files().items():
            path.unlink() if not path.is_dir() or path.is_symlink() else shutil.rmtree(path)
            make(path)
            if text := fault_of(reader, path):
                found.append(f"{name}: {text}")
    return found


def main(seed: int, count: int, names: list[str]) -> None:
    """Try the readers named; print their faults and seconds as JSON."""
    for name in names:  # so that what is imported late is no part of the limit
        with tempfile.TemporaryDirectory() as place:
            fault_of(READERS[name], READERS[name].make(Path(place)))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, used + LIMIT_BYTES))
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _stop)
    told = {}
    for name in names:
        started_s = time.process_time()
        told[name] = {"faults": faults(READERS[name], seed, count), "s": round(time.process_time() - started_s, 2)}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or list(READERS))
