"""The message types of one bag: ours where both agree, else as the bag itself defines them.

A bag of another robot holds types that nobody here has installed, and one of another release may hold older forms of
known ones. The bag says how its bytes are to be read; where it says nothing, our definitions are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from hal_ros.bags.messages import typestore
from hal_ros.bags.reader import topic_forms
from hal_ros.bags.storage.stored import TopicForm
from hal_ros.core.errors import BagError
from hal_ros.core.streams.paths import FieldType

_UNREADABLE = (SerdeError, AssertionError, IndexError, OverflowError, ValueError, MemoryError, RecursionError)

Definitions = dict[str, Any]  # as rosbags has them: (constants, fields) by type name
Fields = Mapping[str, FieldType]
HEADER, TIME = "std_msgs/msg/Header", "builtin_interfaces/msg/Time"
MOST_UNROLLED = 2048
"""Longest fixed array of messages in a bag's own types: code is made for each entry, which takes time and memory."""
MOST_SCHEMA_BYTES = 1 << 19
"""Longest definition that is looked into: of what robots send, with all that it needs, none has a tenth of it."""


class BagTypes:
    """How the messages of one bag are read."""

    def __init__(self, forms: Mapping[str, TopicForm] | None = None) -> None:
        """Take how a bag writes down its topics; without any, all types are ours."""
        self._stores: dict[str, Typestore] = {}
        self._in_two_ways: set[str] = set()
        for form in (forms or {}).values():
            self._learn(form)

    @classmethod
    def of(cls, bag: Path) -> BagTypes:
        """Return the types of a bag; raises BagError where it can't be read."""
        return cls({str(number): form for number, (_, form) in enumerate(topic_forms(bag))})

    def _learn(self, form: TopicForm) -> None:
        """Take what a topic says of its type; a type that topics define differently can't be read for sure."""
        name = form.type_name
        store, known = _store_for(name, form.schema_encoding, form.schema), self._stores.get(name)
        if known is None or name not in known.fielddefs:
            self._stores[name] = store
        elif name in store.fielddefs and not _alike(known, store):
            self._in_two_ways.add(name)

    def deserialise(self, type_name: str, data: bytes) -> Any:
        """Return the message in CDR bytes. Raises BagError where they are not of that type, or it is unknown.

        At the end there may be room for a few bytes: rclpy's own serialiser leaves some behind empty arrays.
        """
        store = self._store(type_name)
        try:
            return store.deserialize_cdr(data, type_name)
        except _UNREADABLE as error:
            for room in (4, 8, 12, 16) if isinstance(error, SerdeError) else ():
                with suppress(*_UNREADABLE):
                    return store.deserialize_cdr(data[:-room], type_name)
            raise BagError(f"{len(data)} bytes can't be read as {type_name}: {_one_line(error)}") from error

    def describe(self, type_name: str, of: str = "") -> Fields:
        """Return the fields of a type, as messages of type `of` hold it; raises BagError for an unknown one."""
        fields = self._store(of or type_name).fielddefs.get(type_name)
        if fields is None:
            raise BagError(f"message type {type_name!r} is unknown: neither the bag nor ROS 2's own types define it")
        return {name: _field_type(described) for name, described in fields[1]}

    def lacking(self, type_name: str, needed: Iterable[str], of: str = "") -> str:
        """Say which field of a type, as messages of type `of` hold it, is not there or not as ours; "" where all are.

        Raises BagError for an unknown type.
        """
        held, ours = self.describe(type_name, of), BagTypes().describe(type_name)
        for field in needed:
            if held.get(field) != ours[field]:
                return f"{field} is {'of another type' if field in held else 'not there'} in the bag's own {type_name}"
        return ""

    def has_header(self, type_name: str) -> bool:
        """Whether messages of a type are stamped by whoever sent them: they begin with a header, which is ROS 2's."""
        try:
            if next(iter(self.describe(type_name).items()), None) != ("header", FieldType(HEADER)):
                return False
            return all(self.describe(part, of=type_name) == BagTypes().describe(part) for part in (HEADER, TIME))
        except BagError:
            return False

    def _store(self, type_name: str) -> Typestore:
        store = self._stores.get(type_name, typestore())
        if type_name in self._in_two_ways:
            raise BagError(f"message type {type_name!r} is defined in two ways in the bag; expected one")
        if type_name not in store.fielddefs:
            raise BagError(f"message type {type_name!r} is unknown: neither the bag nor ROS 2's own types define it")
        return store


@lru_cache(256)
def _store_for(type_name: str, encoding: str, schema: bytes) -> Typestore:
    """Return ours, unless the bag defines the type otherwise or it is of its own."""
    ours = typestore()
    text = schema.decode("utf-8", "replace") if len(schema) <= MOST_SCHEMA_BYTES else ""
    if not text.strip():
        return ours
    try:
        if encoding == "ros2msg":
            theirs = get_types_from_msg(text, type_name)
        elif encoding == "ros2idl":
            theirs = get_types_from_idl(text)
        else:
            return ours
    except Exception:  # noqa: BLE001  # whatever the parser meets: a broken definition says nothing
        return ours
    theirs = _completed(theirs, ours)
    if any(_unrolled(described) > MOST_UNROLLED for fields in theirs.values() for _, described in fields[1]):
        return ours
    if type_name not in theirs or all(_same(fields[1], ours, name) for name, fields in theirs.items()):
        return ours
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(theirs)
    except Exception:  # noqa: BLE001  # it makes code of them: a name or a constant may not be what Python takes
        return ours
    return store


def _completed(theirs: Definitions, ours: Typestore) -> Definitions:
    """Return definitions with those of ours that they leave out; none where one of them is nowhere."""
    found, open_names = dict(theirs), list(theirs)
    while open_names:
        for _, described in found[open_names.pop()][1]:
            kind, needed = _innermost(described)
            if kind != NAME or needed in found:
                continue
            if needed not in ours.fielddefs:
                return {}
            found[needed] = ours.fielddefs[needed]
            open_names.append(needed)
    return found


def _unrolled(described: Any) -> int:
    """Return for how many entries of a field rosbags writes code: of fixed arrays of messages and of texts."""
    kind, content = int(described[0]), described[1]
    if kind != ARRAY:
        return 0
    inner = content[0]
    return 0 if int(inner[0]) == BASE and inner[1][0] != "string" else int(content[1])


def _innermost(described: Any) -> tuple[int, Any]:
    kind, content = int(described[0]), described[1]
    return (kind, content) if kind in (BASE, NAME) else _innermost(content[0])


def _same(fields: Any, ours: Typestore, name: str) -> bool:
    known = ours.fielddefs.get(name)
    return known is not None and list(known[1]) == list(fields)


def _alike(one: Typestore, other: Typestore) -> bool:
    """Whether two stores define the types alike that the smaller one has."""
    small, large = sorted((one, other), key=lambda store: len(store.fielddefs))
    return small is large or all(_same(fields[1], large, name) for name, fields in small.fielddefs.items())


def _field_type(described: Any) -> FieldType:
    """Return what rosbags says of a field: (kind, content), where arrays hold another such pair and a length."""
    kind, content = int(described[0]), described[1]
    if kind == BASE:
        return FieldType(content[0])
    if kind == NAME:
        return FieldType(content)
    inner, length = content
    return FieldType(_field_type(inner).base, int(length) if kind == ARRAY else -1)


BASE, NAME, ARRAY = 1, 2, 3
"""Kinds of rosbags' `Nodetype`; the fourth is a sequence, whose number is the longest that it may be."""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
