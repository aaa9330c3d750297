"""Bring the UCI set Gesture Phase Segmentation into the MS-TCN layout: `convert_gesture_phase.py UCI_FOLDER FOLDER`.

Reads the raw recordings (a1_raw.csv, ...: positions of hands, head, spine and wrists in each frame, and its phase). The
first letter of a recording is its user; split N tests on the N-th user and trains on the others.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.formats.layout_files import write_clip_files, write_dataset_files

SUFFIX = "_raw.csv"
JOINTS = ("lh", "rh", "h", "s", "lw", "rw")  # left and right hand, head, spine, left and right wrist
COLUMNS = tuple(f"{joint}{axis}" for joint in JOINTS for axis in "xyz")
PHASES = ("Rest", "Preparation", "Stroke", "Hold", "Retraction")
# The set is Brazilian, and not every label was translated.
PORTUGUESE = {"repouso": "Rest", "descanso": "Rest", "preparacao": "Preparation", "retracao": "Retraction"}


def main() -> int:
    """Convert all recordings of a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("uci_folder", type=Path, help="where the *_raw.csv files are")
    parser.add_argument("folder", type=Path, help="the dataset to write")
    arguments = parser.parse_args()
    try:
        names = convert(arguments.uci_folder, arguments.folder)
    except DatasetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.folder}: {len(names)} recordings")
    return 0


def convert(uci_folder: Path, folder: Path) -> tuple[str, ...]:
    """Write the dataset and return the recordings' names; DatasetError names the file and line that is malformed."""
    paths = sorted(uci_folder.glob(f"*{SUFFIX}"))
    if not paths:
        raise DatasetError(f"{uci_folder}: holds no *{SUFFIX}; expected a1{SUFFIX} and so on")
    recordings = {path.name.removesuffix(SUFFIX): read_recording(path) for path in paths}
    for name, (positions, phases) in recordings.items():
        write_clip_files(folder, name, positions, phases)
    users = sorted({name[0] for name in recordings})
    for split, user in enumerate(users, 1):
        subsets = {
            "train": [name for name in recordings if name[0] != user],
            "test": [name for name in recordings if name[0] == user],
        }
        write_dataset_files(folder, PHASES, subsets, str(split))
    return tuple(recordings)


def read_recording(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Return positions (18, T), as they stand in the file, and the phase of each frame."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    missing = [column for column in (*COLUMNS, "phase") if column not in (reader.fieldnames or ())]
    if missing:
        raise DatasetError(f"{path}:1: no column {', '.join(missing)}; expected {', '.join((*COLUMNS, 'phase'))}")
    frames, phases = [], []
    for row in reader:
        try:
            frames.append([float(row[column]) for column in COLUMNS])
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{path}:{reader.line_num}: {error}; expected {len(COLUMNS)} positions") from error
        phases.append(_phase(row["phase"], f"{path}:{reader.line_num}"))
    if not frames:
        raise DatasetError(f"{path}: holds no frame; expected one a line")
    return np.ascontiguousarray(np.array(frames, np.float32).T), phases


def _phase(text: str | None, place: str) -> str:
    plain = unicodedata.normalize("NFKD", (text or "").strip().casefold())
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    phase = PORTUGUESE.get(plain, plain.capitalize())
    if phase not in PHASES:
        raise DatasetError(f"{place}: phase '{text}'; expected one of {', '.join(PHASES)}")
    return phase


if __name__ == "__main__":
    sys.exit(main())
