"""Short names of streams, from their topics: the same topics always get the same names."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from hal_ros.bags.inputs import transport_base

SAYS_NOTHING = {
    *("image", "image_raw", "image_color", "image_colour", "image_mono", "image_rect", "image_rect_color"),
    *("image_rect_raw", "image_compressed", "compressed", "color", "colour", "rgb", "raw", "camera", "cameras", "cam"),
    *("sensor", "sensors", "joint_states", "joint_state", "joints", "state", "states", "data", "ros2_control"),
    *("wrench", "robot", "driver", "measured", "current"),
}
"""Parts of topics that say what kind of topic it is, and not which."""
AROUND = re.compile(r"^(?:cam|camera)_|_(?:cam|camera|image|joint_states?)$")


def stream_names(topics: Sequence[str], usual: str, taken: Collection[str] = ()) -> dict[str, str]:
    """Return a name for each topic, none of them `taken`; `usual` where a topic says nothing, and for a lone one."""
    parts = {topic: _telling_parts(topic) for topic in topics}
    shared = set.intersection(*(set(each) for each in parts.values())) if len(topics) > 1 else set()
    names: dict[str, str] = {}
    for topic in sorted(topics):
        own = [part for part in parts[topic] if part not in shared]
        name = usual if len(topics) == 1 else _as_name("_".join(own), usual)
        used = {*taken, *names.values()}
        names[topic] = name if name not in used else _numbered(name, used)
    return {topic: names[topic] for topic in topics}


def _telling_parts(topic: str) -> list[str]:
    parts = [part for part in transport_base(topic).split("/") if part]
    telling = [AROUND.sub("", part) or part for part in parts if part.lower() not in SAYS_NOTHING]
    return list(dict.fromkeys(telling))


def _as_name(text: str, usual: str) -> str:
    name = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", text))[:100].strip("_")
    if not name:
        return usual
    return name if name[0].isalpha() else f"{usual}_{name}"


def _numbered(name: str, used: Collection[str]) -> str:
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"
