"""A user's folder with bags and transcripts, for tests of `hal ingest BAGS`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fakes import SIZE_PX, picture
from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagMessage, BagWriter
from hal_ros.bags.sensors import IMAGE
from hal_ros.core.streams.spec import JOINT_STATE
from hal_ros.datasets.build import Built, build
from hal_ros.datasets.episodes import Episode, load
from hal_ros.datasets.plan import Plan, Problems, Request, plan
from hal_ros.datasets.summary import summary
from hal_ros.train.config import load_config

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
        for message in messages() if content is None else content:
            bag.write(message.topic, message.type_name, message.data, message.receive_ns, message.publish_ns)
    return path


class Workplace:
    """A user's folder: bags/, transcripts/, and the dataset that becomes of them."""

    def __init__(self, folder: Path) -> None:
        self.bags, self.transcripts, self.out = folder / "bags", folder / "transcripts", folder / "mine"
        self.bags.mkdir()
        self.transcripts.mkdir()
        self.printed = ""  # the last summary

    def add(self, name: str, *actions: str, content: list[BagMessage] | None = None) -> Path:
        """Add a bag with its transcript; `name` with an ending is a lone file."""
        self.write_transcript(Path(name).stem, *actions or ACTIONS)
        return write(self.bags / name, content)

    def write_transcript(self, name: str, *actions: str) -> None:
        (self.transcripts / f"{name}.txt").write_text("\n".join(actions))

    def request(self, *sources: Path, **asked: Any) -> Request:
        """Ask for the sources, or else all bags, in the dataset; whoever names a config finds the dataset there."""
        own = {} if "config" in asked else {"out": self.out}
        request = Request(sources or (self.bags,), self.transcripts, **{**own, **asked})
        there = request.config_path.exists()
        return replace(request, data=load_config(request.config_path).data) if there else request

    def ingest(self, *sources: Path, **asked: Any) -> None:
        """Ingest what is as it should be; `printed` is what is told."""
        built = carry_out(self.request(*sources, **asked))
        assert isinstance(built, Built), built
        self.printed = "".join(f"{line}\n" for line in summary(built))

    def refused(self, *sources: Path, **asked: Any) -> list[str]:
        """Ingest what is refused, see that nothing has changed, and return the problems."""
        before = snapshot(self.out)
        problems = carry_out(self.request(*sources, **asked))
        assert isinstance(problems, Problems)
        assert problems.out == self.out
        assert snapshot(self.out) == before
        return list(problems.lines)

    def table(self) -> dict[str, str]:
        """Return what the printed table says of each topic in its last column."""
        head, *lines = self.printed.splitlines()
        rows = [line for line in lines if line.startswith("/") and not line.startswith(str(self.out))]
        return {row.split()[0]: row[head.index("stream") :] for row in rows}

    def warnings(self) -> list[str]:
        """Return the printed warnings."""
        lines = self.printed.splitlines()
        return [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]

    def cached_episode(self, name: str = "demo") -> Episode:
        """Return the one episode in the cache that was made of a bag."""
        (cached,) = (self.out / "cache").glob(f"*/{name}-*")
        return load(cached)

    def placed(self) -> dict[str, list[str]]:
        """Return the names of each split's episodes."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.out.glob("*/*/transcript.txt")):
            found.setdefault(path.parent.parent.name, []).append(path.parent.name)
        return found


def carry_out(request: Request) -> Built | Problems:
    """Plan, and build what can be."""
    planned = plan(request)
    return build(planned) if isinstance(planned, Plan) else planned


def snapshot(folder: Path) -> list[tuple[str, bytes]]:
    """All that lies in a dataset's folder but the cache, which only ever holds whole episodes."""
    files = (path for path in sorted(folder.rglob("*")) if "cache" not in path.relative_to(folder).parts)
    return [(str(path), path.read_bytes() if path.is_file() else b"") for path in files]


def write_config(work: Workplace, **data: object) -> Path:
    path = work.out.parent / "my.yaml"
    usual = {"folder": str(work.out), "cache": str(work.out / "cache"), "joints": ["a", "b"]}
    path.write_text(yaml.safe_dump({"name": "mine", "data": usual | data}))
    return path
