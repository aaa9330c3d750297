"""A user's folder with bags and transcripts, for tests of `hal ingest BAGS`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import yaml
from fakes import SIZE_PX, picture

from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagMessage, BagWriter
from hal_ros.bags.sensors import IMAGE, JOINT_STATE
from hal_ros.cli import ingest

CAMERA, JOINTS = "/camera/color/image_raw", "/joint_states"
START_NS, PERIOD_NS = 5_000_000_000, 100_000_000
TICKS = 8
ACTIONS = ("reach", "grasp", "lift")


def messages(names: tuple[str, ...] = ("a", "b"), camera: str = CAMERA) -> list[BagMessage]:
    found = []
    for tick in range(TICKS):
        stamp_ns = START_NS + tick * PERIOD_NS
        header = header_message(stamp_ns, "camera")
        pixels = picture("red").reshape(-1)
        image = known_class(IMAGE)(header, SIZE_PX, SIZE_PX, "rgb8", 0, 3 * SIZE_PX, pixels)
        values = np.ones(len(names))
        joints = known_class(JOINT_STATE)(header, list(names), values, values, values)
        found.append(BagMessage(JOINTS, JOINT_STATE, stamp_ns, serialise(joints)))
        found.append(BagMessage(camera, IMAGE, stamp_ns + 1, serialise(image)))
    return found


def write(path: Path, content: list[BagMessage] | None = None) -> Path:
    with BagWriter(path) as bag:
        for topic, type_name, receive_ns, data in messages() if content is None else content:
            bag.write(topic, type_name, data, receive_ns)
    return path


class Workplace:
    """A user's folder: bags/, transcripts/, and the dataset that becomes of them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.bags, self.transcripts, self.out = folder / "bags", folder / "transcripts", folder / "mine"
        self.bags.mkdir()
        self.transcripts.mkdir()
        self.printed = self.errors = ""
        self._capsys = capsys

    def add(self, name: str, *actions: str, content: list[BagMessage] | None = None) -> Path:
        """Add a bag with its transcript; `name` with an ending is a lone file."""
        self.write_transcript(Path(name).stem, *actions or ACTIONS)
        return write(self.bags / name, content)

    def write_transcript(self, name: str, *actions: str) -> None:
        (self.transcripts / f"{name}.txt").write_text("\n".join(actions))

    def ingest(self, *arguments: object, sources: tuple[Path, ...] = ()) -> int:
        own = () if "--config" in arguments else ("--out", self.out)
        asked = [*(sources or (self.bags,)), "--transcripts", self.transcripts, *own, *arguments]
        self._capsys.readouterr()
        code = run(*asked)
        self.printed, self.errors = self._capsys.readouterr()
        return code

    def refused(self, *arguments: object, sources: tuple[Path, ...] = ()) -> list[str]:
        """Ingest what is refused, see that nothing has changed, and return the problems."""
        before = snapshot(self.out)
        assert self.ingest(*arguments, sources=sources) == 1
        assert snapshot(self.out) == before
        *problems, last = self.errors.splitlines()
        assert last == f"hal ingest: nothing was added to {self.out}"
        assert all(problem.startswith("hal ingest: ") for problem in problems)
        return [problem.removeprefix("hal ingest: ") for problem in problems]

    def placed(self) -> dict[str, list[str]]:
        """Return the names of each split's episodes."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.out.glob("*/*/transcript.txt")):
            found.setdefault(path.parent.parent.name, []).append(path.parent.name)
        return found


def snapshot(folder: Path) -> list[tuple[str, bytes]]:
    """All that lies in a dataset's folder but the cache, which only ever holds whole episodes."""
    files = (path for path in sorted(folder.rglob("*")) if "cache" not in path.relative_to(folder).parts)
    return [(str(path), path.read_bytes() if path.is_file() else b"") for path in files]


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    ingest.add_arguments(parser)
    return ingest.run(parser.parse_args([str(argument) for argument in arguments]))


def write_config(work: Workplace, **data: object) -> Path:
    path = work.out.parent / "my.yaml"
    usual = {"folder": str(work.out), "cache": str(work.out / "cache"), "joints": ["a", "b"]}
    path.write_text(yaml.safe_dump({"name": "mine", "data": usual | data}))
    return path
