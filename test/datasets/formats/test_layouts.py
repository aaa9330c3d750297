"""What was written comes back, whichever way round it lies on disk; what does not fit is refused with counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hal_ros.core import segments
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.formats.layout_files import write_clip_files, write_dataset_files
from hal_ros.datasets.formats.layouts import LAYOUTS, Dataset, read_dataset

VOCABULARY = ("SIL", "reach", "pour milk", "wipe")
TRAIN, TEST = ("P03.cam01", "P04"), ("P05",)
WIDTH = 6


def write(
    folder: Path, ticks: dict[str, int], time_first: bool = False, transcripts: bool = False, dtype: str = "float32"
) -> dict[str, np.ndarray]:
    """Write random clips of these lengths, TRAIN and TEST; returns the features, (T, D), by name."""
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(count, WIDTH)).astype(dtype) for name, count in ticks.items()}
    for name, array in features.items():
        labels = [VOCABULARY[index * len(VOCABULARY) // len(array)] for index in range(len(array))]
        order = list(dict.fromkeys(labels)) if transcripts else None
        write_clip_files(folder, name, array if time_first else array.T, labels, order)
    write_dataset_files(folder, VOCABULARY, {"train": TRAIN, "test": TEST}, "1")
    return features


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, {"P03.cam01": 40, "P04": 50, "P05": 60})
    return tmp_path


def note(dataset: Dataset, topic: str) -> str:
    """Return the notes on a topic, joined."""
    return "; ".join(line for line in dataset.notes if line.startswith(topic))


def truth_path(folder: Path, name: str = "P04") -> Path:
    return folder / "groundTruth" / f"{name}.txt"


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


# --- what was written comes back --------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=3, max_size=3),
    time_first=st.booleans(),
    dtype=st.sampled_from(["float16", "float32", "float64", ">f4"]),
    fortran=st.booleans(),
    data=st.data(),
)
def test_what_was_written_comes_back(
    lengths: list[int], time_first: bool, dtype: str, fortran: bool, data: st.DataObject
) -> None:
    assume(len(set(lengths)) > 1)  # else the orientation is a matter of asking
    names = (*TRAIN, *TEST)
    actions = {
        name: data.draw(st.lists(st.integers(0, 3), min_size=length, max_size=length), label=name)
        for name, length in zip(names, lengths, strict=True)
    }
    features = {name: np.arange(WIDTH * len(ids), dtype=dtype).reshape(-1, WIDTH) for name, ids in actions.items()}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, ids in actions.items():
            array: np.ndarray = features[name] if time_first else features[name].T
            array = np.asfortranarray(array) if fortran else np.ascontiguousarray(array)
            write_clip_files(folder, name, array, [VOCABULARY[action] for action in ids])
        write_dataset_files(folder, VOCABULARY, {"train": TRAIN, "test": TEST}, "4")
        dataset = read_dataset(folder, "4", derive_transcripts=True)
    assert dataset.vocabulary == VOCABULARY
    assert {subset: tuple(clip.name for clip in clips) for subset, clips in dataset.subsets.items()} == {
        "train": TRAIN,
        "test": TEST,
    }
    for clip in (*dataset.subsets["train"], *dataset.subsets["test"]):
        assert clip.inputs.dtype == dtype
        np.testing.assert_array_equal(clip.inputs, features[clip.name])
        assert clip.actions.tolist() == actions[clip.name]
        assert clip.transcript == tuple(segments.transcript(clip.actions))


@pytest.mark.parametrize("layout", ["mstcn", "atba", "crosstask", "hollywood"])
@pytest.mark.parametrize("time_first", [False, True], ids=["DT", "TD"])
def test_every_layout_is_read_either_way_round(tmp_path: Path, layout: str, time_first: bool) -> None:
    features = write(tmp_path, {"P03.cam01": 40, "P04": 50, "P05": 60}, time_first, transcripts=layout != "mstcn")
    dataset = read_dataset(tmp_path, layout=layout)
    clip = dataset.subsets["test"][0]
    np.testing.assert_array_equal(clip.inputs, features["P05"])
    assert clip.transcript == (() if layout == "mstcn" else (0, 1, 2, 3))
    assert ("(T, D)" if time_first else "(D, T)") in note(dataset, "features")


@pytest.mark.parametrize(
    ("name", "transcripts", "expected"),
    [
        ("gtea", False, "mstcn"),
        ("breakfast", True, "atba"),
        ("CrossTask", True, "crosstask"),
        ("hollywood", True, "hollywood"),
    ],
)
def test_the_layout_is_found_and_said(tmp_path: Path, name: str, transcripts: bool, expected: str) -> None:
    write(tmp_path / name, {"P03.cam01": 40, "P04": 50, "P05": 60}, transcripts=transcripts)
    assert note(read_dataset(tmp_path / name), "layout").startswith(f"layout: {expected},")


def test_the_older_split_lists_are_read_too(folder: Path) -> None:
    edit(folder / "splits" / "train.split1.bundle", lambda lines: [line.removesuffix(".txt") for line in lines])
    (folder / "splits" / "train.split1.bundle").rename(folder / "split1.train")
    (folder / "splits" / "test.split1.bundle").rename(folder / "split1.test")
    assert [clip.name for clip in read_dataset(folder).subsets["train"]] == list(TRAIN)


def test_line_ends_and_a_missing_last_one_do_not_count(folder: Path) -> None:
    before = read_dataset(folder).subsets["train"][1].actions
    path = truth_path(folder)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").rstrip())
    np.testing.assert_array_equal(read_dataset(folder).subsets["train"][1].actions, before)


def test_a_mapping_in_any_order_gives_the_ids_that_it_says(folder: Path) -> None:
    (folder / "mapping.txt").write_text("2 wipe\n0\treach\n3 SIL\n1\tpour milk\n")
    dataset = read_dataset(folder)
    assert dataset.vocabulary == ("reach", "pour milk", "wipe", "SIL") and dataset.background == (3,)
    assert dataset.subsets["test"][0].actions[0] == 3


# --- background -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "names", "expected"),
    [
        ("mstcn", ("SIL", "a", "b"), (0,)),
        ("mstcn", ("a", "action_start", "action_end"), (1, 2)),
        ("mstcn", ("a", "b", "background"), (2,)),
        ("mstcn", ("a", "b", "c"), ()),
        ("atba", ("a", "b", "c"), ()),
        ("crosstask", ("a", "b", "c"), (0,)),
        ("hollywood", ("a", "SIL", "c"), (1,)),
    ],
)
def test_background_is_known_by_name_and_else_as_the_published_loader_does(
    tmp_path: Path, layout: str, names: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    write_clip_files(tmp_path, "one", np.zeros((WIDTH, 30)), [names[0]] * 30)
    write_dataset_files(tmp_path, names, {"train": ["one"]}, "1")
    dataset = read_dataset(tmp_path, layout=layout)
    assert dataset.background == expected
    assert note(dataset, "background")


def test_ones_own_background_is_named_in_ones_own_layout(folder: Path) -> None:
    assert read_dataset(folder, layout=replace(LAYOUTS["mstcn"], background=("wipe", "no such"))).background == (3,)


def test_edit_and_f1_leave_out_what_the_published_scripts_do(tmp_path: Path) -> None:
    write_dataset_files(tmp_path, ("SIL", "background", "a"), {"train": TRAIN}, "1")
    for name in TRAIN:
        write_clip_files(tmp_path, name, np.zeros((3, 20 + len(name))), ["a"] * (20 + len(name)))
    dataset = read_dataset(tmp_path, orientation="DT")
    assert (dataset.background, dataset.unscored) == ((0, 1), (1,))
    assert note(dataset, "background").endswith("left out of Edit and F1 as published: background")
    ported = read_dataset(tmp_path, layout=replace(LAYOUTS["crosstask"], background=("none",)), orientation="DT")
    assert (ported.background, ported.unscored) == ((0,), (0,))
    own = replace(LAYOUTS["mstcn"], unscored=("SIL", "background"))
    assert read_dataset(tmp_path, layout=own, orientation="DT").unscored == (0, 1)


# --- orientation ------------------------------------------------------------------------------------------------------


def test_a_single_clip_is_turned_by_its_ground_truth(tmp_path: Path) -> None:
    write_clip_files(tmp_path, "one", np.zeros((WIDTH, 40)), ["reach"] * 40)
    write_dataset_files(tmp_path, VOCABULARY, {"train": ["one"]}, "1")
    dataset = read_dataset(tmp_path)
    assert dataset.subsets["train"][0].inputs.shape == (40, WIDTH)
    assert "ground truth" in note(dataset, "features")


def test_what_could_be_either_way_round_has_to_be_asked(tmp_path: Path) -> None:
    features = np.arange(100.0).reshape(10, 10)
    write_clip_files(tmp_path, "one", features, ["reach"] * 10)
    write_dataset_files(tmp_path, VOCABULARY, {"train": ["one"]}, "1")
    with pytest.raises(DatasetError, match=r"\(10, 10\) and both dimensions fit.*TD for .* or DT"):
        read_dataset(tmp_path)
    np.testing.assert_array_equal(read_dataset(tmp_path, orientation="TD").subsets["train"][0].inputs, features)
    np.testing.assert_array_equal(read_dataset(tmp_path, orientation="DT").subsets["train"][0].inputs, features.T)
    with pytest.raises(DatasetError, match="orientation 'TF'; expected auto, TD or DT"):
        read_dataset(tmp_path, orientation="TF")


def test_features_that_share_no_dimension_are_refused(folder: Path) -> None:
    np.save(folder / "features" / "P05.npy", np.zeros((WIDTH + 1, 60), np.float32))
    with pytest.raises(DatasetError, match=r"no dimension in common.*DT: D = 6 \(2 files\), 7 \(1 files\)"):
        read_dataset(folder)
    with pytest.raises(DatasetError, match=r"read as DT have D = 6 \(2 files\), 7 \(1 files\); expected one D"):
        read_dataset(folder, orientation="DT")


# --- lengths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "accepted"), [("mstcn", 15), ("atba", 0), ("crosstask", 0), ("hollywood", 7)])
@pytest.mark.parametrize("sign", [-1, 1], ids=["labels longer", "features longer"])
def test_lengths_may_differ_as_the_published_loader_lets_them(
    folder: Path, layout: str, accepted: int, sign: int
) -> None:
    array = np.arange(WIDTH * 80.0).reshape(WIDTH, 80)
    np.save(folder / "features" / "P04.npy", array[:, : 50 + sign * accepted])
    dataset = read_dataset(folder, layout=layout, derive_transcripts=True)
    clip = dataset.subsets["train"][1]
    kept = min(50, 50 + sign * accepted)
    np.testing.assert_array_equal(clip.inputs, array[:, :kept].T)
    assert len(clip.actions) == clip.ticks == kept
    assert clip.transcript == tuple(segments.transcript(clip.actions))
    assert (f"1 of 3 clips were cut at the end, by {accepted} frames" in note(dataset, "length")) == (accepted > 0)
    np.save(folder / "features" / "P04.npy", array[:, : 50 + sign * (accepted + 1)])
    with pytest.raises(DatasetError, match=rf"1 of 3 clips differ in length by more than the {accepted} frames.*P04"):
        read_dataset(folder, layout=layout)


# --- refused, with counts ---------------------------------------------------------------------------------------------


def test_labels_that_the_mapping_lacks_are_counted(folder: Path) -> None:
    edit(truth_path(folder), lambda lines: [*lines[:47], "stir", "stir", "beat"])
    edit(truth_path(folder, "P05"), lambda lines: [*lines[:-1], "stir"])
    with pytest.raises(
        DatasetError, match=r"2 labels are not in mapping.txt: 'stir' \(3 lines in 2 files, .*P04.txt:48"
    ):
        read_dataset(folder)


def test_the_transcripts_labels_are_checked_as_well(tmp_path: Path) -> None:
    write(tmp_path, {"P03.cam01": 40, "P04": 50, "P05": 60}, transcripts=True)
    edit(tmp_path / "transcripts" / "P04.txt", lambda lines: [*lines, "stir"])
    with pytest.raises(DatasetError, match=r"'stir' \(1 lines in 1 files, first .*transcripts/P04.txt:5\)"):
        read_dataset(tmp_path)


def test_an_empty_line_inside_would_shift_the_frames(folder: Path) -> None:
    edit(truth_path(folder), lambda lines: [*lines[:7], "", *lines[8:]])
    with pytest.raises(DatasetError, match=r"P04.txt:8: empty line"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 SIL\n1\n", "mapping.txt:2: '1'; expected an id and a name"),
        ("SIL 0\n", "mapping.txt:1: 'SIL 0'; expected an id"),
        ("0 SIL\n0 reach\n", "mapping.txt:2: '0 reach' repeats"),
        ("0 SIL\n1 SIL\n", "mapping.txt:2: '1 SIL' repeats"),
        ("0 SIL\n2 reach\n", r"mapping.txt: 2 actions, but no id 1; expected 0 to 1"),
        ("", "mapping.txt: holds no action"),
    ],
)
def test_a_malformed_mapping_is_shown_where(folder: Path, text: str, message: str) -> None:
    (folder / "mapping.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_dataset(folder)


def test_missing_files_are_counted(folder: Path) -> None:
    (folder / "features" / "P05.npy").unlink()
    with pytest.raises(DatasetError, match=r"1 of 3 clips have no features: .*P05.npy"):
        read_dataset(folder)
    truth_path(folder).unlink()
    with pytest.raises(DatasetError, match="1 of 2 clips of train have neither ground truth nor transcript: P04"):
        read_dataset(folder)
    (folder / "mapping.txt").unlink()
    with pytest.raises(DatasetError, match=r"mapping.txt: can't be read \(No such file"):
        read_dataset(folder)


def test_a_clip_is_not_trained_on_and_scored(folder: Path) -> None:
    edit(folder / "splits" / "test.split1.bundle", lambda lines: [*lines, "P04.txt"])
    with pytest.raises(DatasetError, match="1 of 2 clips of test are in train as well: P04"):
        read_dataset(folder)


def test_a_repeated_line_of_a_split_is_noted(folder: Path) -> None:
    edit(folder / "splits" / "train.split1.bundle", lambda lines: [*lines, "P04.txt"])
    dataset = read_dataset(folder)
    assert len(dataset.subsets["train"]) == 2 and "repeats 1 clips" in note(dataset, "split")


def test_a_split_that_is_not_there_says_what_was_looked_for(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"split '7' has no list .* splits/train.split7.bundle or split7.train"):
        read_dataset(folder, "7")
    with pytest.raises(DatasetError, match="layout 'mstc'; expected auto, mstcn, atba, crosstask, hollywood"):
        read_dataset(folder, layout="mstc")
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        read_dataset(folder / "nowhere")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(50), r"P04.npy: shape \(50,\); expected two dimensions"),
        (np.zeros((1, WIDTH, 50)), r"P04.npy: shape \(1, 6, 50\); expected two dimensions"),
        (np.zeros((WIDTH, 0)), r"P04.npy: shape \(6, 0\) holds no value"),
        (np.zeros((WIDTH, 50), complex), "P04.npy: dtype complex128; expected"),
    ],
)
def test_features_of_another_shape_or_type_are_refused(folder: Path, array: np.ndarray, message: str) -> None:
    np.save(folder / "features" / "P04.npy", array)
    with pytest.raises(DatasetError, match=message):
        read_dataset(folder)


def test_what_is_no_feature_file_is_refused(folder: Path) -> None:
    path = folder / "features" / "P04.npy"
    whole = path.read_bytes()
    objects = np.array([["a", None]], object)
    for content in (b"", b"no array", whole[:-8]):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"P04.npy: no readable .npy file"):
            read_dataset(folder)
    np.save(path, objects)
    with pytest.raises(DatasetError, match=r"P04.npy: no readable .npy file"):
        read_dataset(folder)
    with path.open("wb") as file:
        np.savez(file, np.zeros((WIDTH, 50)))
    with pytest.raises(DatasetError, match=r"P04.npy: an archive of arrays"):
        read_dataset(folder)


def test_what_is_no_text_is_refused(folder: Path) -> None:
    truth_path(folder).write_bytes(b"reach\n\xff\xfe\n")
    with pytest.raises(DatasetError, match=r"P04.txt: .*byte 0xff at 6 is not UTF-8"):
        read_dataset(folder)


def test_only_what_is_scored_needs_a_ground_truth(tmp_path: Path) -> None:
    write(tmp_path, {"P03.cam01": 40, "P04": 50, "P05": 60}, transcripts=True)
    truth_path(tmp_path).unlink()
    truth_path(tmp_path, "P05").unlink()
    with pytest.raises(DatasetError, match="1 of 1 clips of test have no ground truth to be scored against: P05"):
        read_dataset(tmp_path)
    (tmp_path / "splits" / "test.split1.bundle").rename(tmp_path / "splits" / "val.split1.bundle")
    dataset = read_dataset(tmp_path)
    for clip in (dataset.subsets["train"][1], dataset.subsets["val"][0]):
        assert set(clip.actions) == {NO_ACTION} and clip.ticks >= 50 and clip.transcript == (0, 1, 2, 3)
