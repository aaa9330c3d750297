"""Seeded damage to files: of bytes, of lines, of JSON and YAML values, of arrays; and files that are none."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, 10**30, float("nan"), float("inf"), "", "\0", "\x1b[2J", "\ud800", "\u202ename"),
    *("../../etc/passwd", "/dev/zero", "x" * 5000, [], {}, [[]], {"a": {}}, [None], {"": 1}, 2**63, -(2**63), 0.5),
)
ODD_BYTES = (
    b"",
    b"\0",
    b"\xff",
    b"\x1b[31m",
    b"\xed\xa0\x80",
    b"[" * 3000,
    b"{" * 3000,
    b"- " * 3000,
    b"&a [*a]",
    b"9" * 6000,
)
ODD_YAML = (
    "&a ",
    "*a",
    "<<: *a\n",
    "!!python/object/apply:os.system ['true']",
    "\t",
    "!!binary x",
    ": ",
    "1:" * 900,
    "? ",
)


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to three changes: bits, bytes, pieces lost, doubled, moved or put in."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((1, 1, 4, 16, 200)))
        piece = content[start:end]
        middle = rng.choice(
            (
                bytes(byte ^ 1 << rng.randrange(8) for byte in piece),
                rng.randbytes(len(piece)),
                b"",
                piece * 2,
                rng.choice(ODD_BYTES),
            )
        )
        content = (
            content[: rng.randrange(len(content) + 1)]
            if rng.random() < 0.1
            else content[:start] + middle + content[end:]
        )
    return content


def damaged_value(value: Any, rng: random.Random) -> Any:
    """Return a copy of a JSON or YAML value with one thing in it replaced, removed, renamed or doubled."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places or rng.random() < 0.03:
        return rng.choice(ODD_VALUES)
    owner, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind < 2:
        owner[key] = rng.choice(ODD_VALUES)
    elif kind == 2:
        del owner[key]
    elif isinstance(owner, dict):
        owner[f"{key}x"] = owner.pop(key)
    else:
        owner.extend(owner[key : key + 1] * rng.choice((1, 50)))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def damaged_json(content: bytes, rng: random.Random) -> bytes:
    """Return JSON with a damaged value, or damaged text."""
    if rng.random() < 0.4:
        return damaged_bytes(content, rng)
    return json.dumps(damaged_value(json.loads(content), rng)).encode()


def damaged_yaml(content: bytes, rng: random.Random) -> bytes:
    """Return YAML with a damaged value, with an odd piece of syntax, or damaged text."""
    chance = rng.random()
    if chance < 0.35:
        return damaged_bytes(content, rng)
    if chance < 0.6:
        text = content.decode()
        start = rng.randrange(len(text) + 1)
        return (text[:start] + rng.choice(ODD_YAML) + text[start:]).encode()
    return yaml.safe_dump(damaged_value(yaml.safe_load(content), rng), sort_keys=False).encode(errors="surrogatepass")


def damaged_arrays(content: bytes, rng: random.Random) -> bytes:
    """Return an .npz with one array replaced, lost, renamed or lying about its shape; or damaged bytes."""
    if rng.random() < 0.4:
        return damaged_bytes(content, rng)
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    name = rng.choice(sorted(arrays))
    old = arrays.pop(name)
    odd = (
        lambda: old.astype(np.float16) if old.dtype.kind in "fiu" else old,
        lambda: old.reshape(-1),
        lambda: old[..., None],
        lambda: old[:0] if old.ndim else old,
        lambda: np.array(old.shape),
        lambda: np.array("text"),
        lambda: np.array("[" * 3000),
        lambda: np.full_like(old, np.nan) if old.dtype.kind == "f" else old,
        lambda: np.array([None, {}], object),
        lambda: (
            np.array(json.dumps(damaged_value(json.loads(str(old)), rng)))
            if old.dtype.kind == "U" and not old.ndim
            else old
        ),
    )
    kind = rng.randrange(len(odd) + 3)
    written = io.BytesIO()
    if kind < len(odd):
        arrays[name] = odd[kind]()
    elif kind == len(odd):
        arrays[name + "/x"] = old
    np.savez(written, **arrays)
    if kind == len(odd) + 2:
        with zipfile.ZipFile(written, "a") as file:
            file.writestr(f"{name}.npy", _lying_header(rng))
    return written.getvalue()


def _damaged_text(array: Any, rng: random.Random) -> Any:
    """Return the JSON in an array of text with a damaged value; other arrays as they are."""
    if array.dtype.kind != "U" or array.ndim:
        return array
    return np.array(json.dumps(damaged_value(json.loads(str(array)), rng)))


def _lying_header(rng: random.Random) -> bytes:
    shape = rng.choice(((10**9, 10**9), (-1,), (2**62,), (1 << 33,)))
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape!r}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def damaged_lines(content: bytes, rng: random.Random) -> bytes:
    """Return text with damaged bytes, or with lines of odd values."""
    if rng.random() < 0.5:
        return damaged_bytes(content, rng)
    lines = content.decode().split("\n")
    lines[rng.randrange(len(lines))] = str(rng.choice(ODD_VALUES)) * rng.choice((1, 3))
    return "\n".join(lines).encode(errors="surrogatepass")


def inflating_arrays() -> bytes:
    """Return an .npz of a megabyte that unpacks to a gigabyte."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("about.npy", "w", force_zip64=True) as entry,
    ):
        entry.write(_lying_header(random.Random(0)))
        for _ in range(64):
            entry.write(bytes(1 << 24))
    return written.getvalue()


def no_files() -> dict[str, Callable[[Path], object]]:
    """Return what may lie at a file's place and is none that anybody wants to read to its end, by name."""
    return {
        "a pipe": lambda path: os.mkfifo(path),
        "a folder": lambda path: path.mkdir(),
        "a device without end": lambda path: path.symlink_to("/dev/zero"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link to nothing": lambda path: path.symlink_to("nowhere"),
        "an empty file": lambda path: path.touch(),
        "a hole of a terabyte": lambda path: _hole(path, 1 << 40),
        "a hole of 200 MB": lambda path: _hole(path, 200 << 20),
        "zeros": lambda path: path.write_bytes(bytes(1 << 16)),
        "aliases that multiply": lambda path: path.write_text(alias_bomb()),
        "deep JSON": lambda path: path.write_text("[" * 200_000),
        "deep objects": lambda path: path.write_text('{"a":' * 100_000),
        "a long number": lambda path: path.write_text("9" * 100_000),
        "sexagesimal digits": lambda path: path.write_text("a: 1" + ":1" * 60_000),
        "many keys": lambda path: path.write_text("".join(f"k{i}: 1\n" for i in range(20_000))),
        "another encoding": lambda path: path.write_bytes("größe: ä\n".encode("utf-16")),
        "a small archive of large arrays": lambda path: path.write_bytes(INFLATING),
    }  # fmt: skip


def _hole(path: Path, size: int) -> None:
    with path.open("wb") as file:
        try:
            file.truncate(size)
        except OSError:  # of a file system that knows no file so large
            file.truncate(1 << 30)


def alias_bomb(levels: int = 12) -> str:
    """Return a kilobyte of YAML that stands for 10^levels values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


INFLATING = inflating_arrays()
