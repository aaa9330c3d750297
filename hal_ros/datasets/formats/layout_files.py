"""The text files that the published layouts share: mapping.txt, lists of labels, lists of clips. Read and written here.

All are UTF-8, one entry a line; white space around an entry, a missing last line end and empty lines at the end do not
count. An empty line before another entry is an error, since in a ground truth it would shift every later frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.outside.reading import MIB, Expected, read_text

TEXT = Expected(DatasetError, "UTF-8 text of one entry a line", 64 * MIB)
MAPPING = "mapping.txt"
GROUND_TRUTH, TRANSCRIPTS, FEATURES, SPLITS = "groundTruth", "transcripts", "features", "splits"
SPLIT_PATTERNS = ("splits/{subset}.split{split}.bundle", "split{split}.{subset}", "splits/split{split}.{subset}")
"""Where the list of a subset's clips lies: as in MS-TCN and ATBA; as in NN-Viterbi, CDFL, TASL, POC; both mixed."""
SHOWN = 3  # of many things that are wrong, an error names so many

# --- reading ----------------------------------------------------------------------------------------------------------


def read_lines(path: Path) -> list[str]:
    """Return the entries of a text file; DatasetError if it can't be read, is no text or has an empty line inside."""
    lines = [line.strip() for line in read_text(path, TEXT).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise DatasetError(f"{path}:{lines.index('') + 1}: empty line; expected one entry a line")
    return lines


def read_mapping(path: Path) -> tuple[str, ...]:
    """Return the vocabulary: the names of mapping.txt (`id name` a line, in any order) by their ids 0 to K-1."""
    names: dict[int, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        identity, name = [*line.split(None, 1), ""][:2]
        if not (identity.isascii() and identity.isdigit() and name):
            raise DatasetError(f"{path}:{number}: '{line}'; expected an id and a name, as in '0 background'")
        if int(identity) in names or name in names.values():
            raise DatasetError(f"{path}:{number}: '{line}' repeats an id or a name of a line before")
        names[int(identity)] = name
    if not names:
        raise DatasetError(f"{path}: holds no action; expected an id and a name a line")
    missing = [str(identity) for identity in range(len(names)) if identity not in names]
    if missing:
        raise DatasetError(f"{path}: {len(names)} actions, but no id {shown(missing)}; expected 0 to {len(names) - 1}")
    return tuple(names[identity] for identity in range(len(names)))


def find_split(folder: Path, subset: str, split: str) -> Path | None:
    """Return the file that lists a subset's clips, None where there is none."""
    paths = [folder / pattern.format(subset=subset, split=split) for pattern in SPLIT_PATTERNS]
    return next((path for path in paths if path.is_file()), None)


def read_split(path: Path) -> tuple[tuple[str, ...], int]:
    """Return the clips' names in the list's order, each once, and how many lines repeated one.

    A name may carry the `.txt` of its ground truth, and folders before it. Other dots belong to it, as in CrossTask.
    """
    names = [line.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".txt") for line in read_lines(path)]
    if not names:
        raise DatasetError(f"{path}: lists no clip; expected a name a line")
    unique = tuple(dict.fromkeys(names))
    return unique, len(names) - len(unique)


class LabelReader:
    """Reads lists of labels as ids and remembers the labels that the vocabulary lacks, to refuse them all at once."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._ids = {action: identity for identity, action in enumerate(vocabulary)}
        self._lines: Counter[str] = Counter()
        self._files: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def read(self, path: Path) -> NDArray[np.int64]:
        """Return (N,) action ids, one for each line; -1 for a label of which `check` will complain."""
        lines = read_lines(path)
        ids = np.fromiter((self._ids.get(line, -1) for line in lines), np.int64, len(lines))
        unknown: dict[str, int] = {}  # the first line of each
        for index in np.flatnonzero(ids < 0):
            self._lines[lines[index]] += 1
            unknown.setdefault(lines[index], int(index) + 1)
        for label, line in unknown.items():
            self._files[label] += 1
            self._first.setdefault(label, f"{path}:{line}")
        return ids

    def check(self) -> None:
        """Raise DatasetError with counts if any label read so far is not in the vocabulary."""
        if self._lines:
            entries = [
                f"'{label}' ({count} lines in {self._files[label]} files, first {self._first[label]})"
                for label, count in self._lines.most_common()
            ]
            raise DatasetError(f"{len(entries)} labels are not in {MAPPING}: {shown(entries)}")


def shown(entries: Sequence[str]) -> str:
    """Return the first entries, and how many more there are."""
    more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return ", ".join(entries[:SHOWN]) + more


# --- writing ----------------------------------------------------------------------------------------------------------


def write_dataset_files(
    folder: Path, vocabulary: Sequence[str], subsets: Mapping[str, Sequence[str]], split: str
) -> None:
    """Write mapping.txt and, in the MS-TCN layout, the list of each subset's clips."""
    _write_lines(folder / MAPPING, (f"{identity} {name}" for identity, name in enumerate(vocabulary)))
    for subset, names in subsets.items():
        path = folder / SPLIT_PATTERNS[0].format(subset=subset, split=split)
        _write_lines(path, (f"{name}.txt" for name in names))


def write_clip_files(
    folder: Path,
    name: str,
    features: NDArray[np.generic],
    labels: Sequence[str] | None = None,
    transcript: Sequence[str] | None = None,
) -> None:
    """Write one clip: features (D, T) as published, and the label of each frame or the transcript, where given."""
    path = folder / FEATURES / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, features)
    if labels is not None:
        _write_lines(folder / GROUND_TRUTH / f"{name}.txt", labels)
    if transcript is not None:
        _write_lines(folder / TRANSCRIPTS / f"{name}.txt", transcript)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
