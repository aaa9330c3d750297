"""`hal predict`: labels for new feature clips that nobody has annotated, one action a frame."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Labeller(NamedTuple):
    """What reads features (T, `width`) of a named clip and says a label for each frame."""

    width: int
    orientation: str
    label: Callable[[Any, str], Sequence[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    text = "folder of a run of `hal train` on features, or a bundle that takes states alone"
    parser.add_argument("model", type=Path, metavar="RUN_OR_BUNDLE", help=text)
    parser.add_argument(
        "clips", type=Path, nargs="+", metavar="CLIP", help=".npy files of features, or folders of them"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where <clip>.txt is written")


def run(args: argparse.Namespace) -> int:
    """Look at all clips, then label one after the other."""
    from hal_ros.datasets.formats.new_clips import read_new_clips, write_labels

    model = _open(args.model)
    count = frames = 0
    for clip in read_new_clips(args.clips, model.width, model.orientation):
        write_labels(args.out, clip.name, model.label(clip.features, clip.name))
        count, frames = count + 1, frames + len(clip.features)
        if clip.missing:
            print(f"{clip.name}: {clip.missing} of {clip.features.size} values are not finite, taken as missing")
    print(f"{args.out}: {count} clips, {frames} frames, one label a frame")
    return 0


def _open(folder: Path) -> _Labeller:
    """Return the run or the bundle. Raises ConfigError where the folder is neither."""
    from hal_ros.core.errors import ConfigError
    from hal_ros.runtime.bundle import CARD

    if (folder / CARD).exists():
        from hal_ros.offline.bundle import BundleChoice, open_segmenter
        from hal_ros.offline.vectors import check_takes_vectors, label_vectors

        bundle, segmenter = open_segmenter(BundleChoice(folder))
        check_takes_vectors(bundle.card)
        width = bundle.card.streams.value_count
        return _Labeller(width, "TD", lambda features, _: label_vectors(segmenter, features))
    from hal_ros.train.on_features import ABOUT, load_feature_model

    if not (folder / ABOUT).exists():
        expected = f"expected a finished run of `hal train` on features ({ABOUT}) or a bundle ({CARD})"
        raise ConfigError(f"{folder}: is neither a run nor a bundle; {expected}")
    model = load_feature_model(folder)
    return _Labeller(model.width, model.orientation, model.labels)
