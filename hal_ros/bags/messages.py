"""ROS messages without ROS: classes, CDR bytes and schema texts, through the typestore of `rosbags`.

Bytes made here are deterministic: padding is zero. rclpy's own serialiser leaves whatever was in memory there, so
messages whose bytes are promised (labels, boundaries) are serialised here, by the node too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from hal_ros.core.errors import BagError, ConfigError
from hal_ros.outside.shared_files import share_folders, shared_file

OWN_PACKAGE = "hal_msgs"
SEPARATOR = "=" * 80
STAMP_END = 12  # bytes of CDR: 4 of encapsulation, then the header's stamp


def serialise(message: Any) -> bytes:
    """Return the little-endian CDR bytes of a message, with its 4 bytes of encapsulation; padding is zero."""
    return bytes(typestore().serialize_cdr(message, message.__msgtype__, little_endian=True))


def deserialise(type_name: str, data: bytes) -> Any:
    """Return the message in CDR bytes of either byte order. Raises BagError when they are not of that type."""
    known_class(type_name)
    try:
        return typestore().deserialize_cdr(data, type_name)
    except (SerdeError, AssertionError, IndexError, OverflowError) as error:
        raise BagError(f"{len(data)} bytes can't be read as {type_name}: {_one_line(error)}") from error


def known_class(type_name: str) -> type[Any]:
    """Return the dataclass of a message type, e.g. sensor_msgs/msg/Image. Raises BagError when it is unknown."""
    try:
        return typestore().types[type_name]
    except KeyError:
        raise BagError(f"message type {type_name!r} is unknown; expected one of ROS 2 or {OWN_PACKAGE}") from None


def time_message(stamp_ns: int) -> Any:
    """Return builtin_interfaces/msg/Time of integer nanoseconds, zero or more."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return known_class("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)


def duration_message(duration_ns: int) -> Any:
    """Return builtin_interfaces/msg/Duration of integer nanoseconds."""
    sec, nanosec = divmod(duration_ns, 1_000_000_000)
    return known_class("builtin_interfaces/msg/Duration")(sec=sec, nanosec=nanosec)


def header_message(stamp_ns: int, frame_id: str) -> Any:
    """Return std_msgs/msg/Header."""
    return known_class("std_msgs/msg/Header")(stamp=time_message(stamp_ns), frame_id=frame_id)


def to_ns(time: Any) -> int:
    """Return a builtin_interfaces Time or Duration in integer nanoseconds."""
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)


def header_stamp_ns(data: bytes) -> int | None:
    """Return the stamp of a message that begins with a header, read off its CDR bytes; None where there is none.

    That is where the bytes end before it, and where its nanoseconds are a second or more: no clock of ROS says so.

    The rest is not looked at: deserialising an image for its stamp alone would cost more than labelling it.
    """
    if len(data) < STAMP_END:
        return None
    sec, nanosec = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(sec) * 1_000_000_000 + int(nanosec) if nanosec < 1_000_000_000 else None


@cache
def typestore() -> Typestore:
    """Return ROS 2's own messages and hal_msgs. Raises BagError when the definitions of hal_msgs are nowhere."""
    store = get_typestore(Stores.ROS2_KILTED)
    definitions = _own_definitions()
    types = {}
    for path in sorted(definitions.glob("*.msg")):
        types.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"{OWN_PACKAGE}/msg/{path.stem}"))
    if not types:
        raise BagError(f"no .msg files of {OWN_PACKAGE} in {definitions}; install it: pip install ./{OWN_PACKAGE}")
    store.register(types)
    return store


def definition_folder(package: str) -> Path | None:
    """Return the installed folder of a package's .msg files: of the sourced ROS, else of this Python environment."""
    return next((folder / "msg" for folder in share_folders(package) if (folder / "msg").is_dir()), None)


def _own_definitions() -> Path:
    """Return the definitions of hal_msgs: installed, in the checkout, or those that this package brings. BagError."""
    try:
        return definition_folder(OWN_PACKAGE) or shared_file(f"{OWN_PACKAGE}/msg")
    except ConfigError as error:
        raise BagError(f"no .msg files of {OWN_PACKAGE} ({error}); install it: pip install ./{OWN_PACKAGE}") from error


@cache
def schema_text(type_name: str) -> str:
    """Return a type's `ros2msg` schema: its definition, then that of each type it needs after a line of 80 '='.

    The installed definitions come first, with their comments; for types that are not installed the typestore writes
    them. Raises BagError for a type that neither knows.
    """
    if _installed_text(type_name) is None:
        known_class(type_name)
        return typestore().generate_msgdef(type_name, ros_version=2)[0]
    texts: dict[str, str] = {}
    _collect(type_name, texts)
    own, *needed = texts
    return texts[own] + "".join(f"{SEPARATOR}\nMSG: {_short(name)}\n{texts[name]}" for name in needed)


def schema_hash(type_name: str) -> str:
    """Return the type's RIHS01 hash for rosbag2's metadata, or '' for a type outside the typestore."""
    return typestore().hash_rihs01(type_name) if type_name in typestore().fielddefs else ""


def _collect(type_name: str, texts: dict[str, str]) -> None:
    """Add the definition of a type and, after it, of all that it needs; each once."""
    if type_name in texts:
        return
    text = _installed_text(type_name)
    if text is None:
        known_class(type_name)
        text = typestore().gendefhash(type_name, {}, 2)[0]
    texts[type_name] = text if text.endswith("\n") else text + "\n"
    for needed in _needed_types(type_name, text):
        _collect(needed, texts)


def _installed_text(type_name: str) -> str | None:
    package, _, name = type_name.partition("/msg/")
    folder = definition_folder(package)
    if folder is None and package == OWN_PACKAGE:
        folder = _own_definitions()
    path = (folder or Path()) / f"{name}.msg"
    return path.read_text(encoding="utf-8") if folder is not None and path.is_file() else None


def _needed_types(type_name: str, text: str) -> Iterator[str]:
    """Yield the message types among the fields of one definition, in order."""
    try:
        fields = get_types_from_msg(text, type_name)[type_name][1]
    except TypesysError as error:
        raise BagError(f"the definition of {type_name} can't be parsed: {_one_line(error)}") from error
    for _, description in fields:
        _, value = description
        while not isinstance(value, str) and not isinstance(value[0], str):  # an array or sequence of something
            _, value = value[0]
        if isinstance(value, str):  # a message; a basic type is the pair (name, length limit)
            yield value


def _short(type_name: str) -> str:
    return type_name.replace("/msg/", "/")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
