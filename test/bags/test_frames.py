"""What a bag's messages become on their way to the segmenter: each stream its own, each picture converted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from fakes import FakeBackend, make_card, picture
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import Frame, due_frames
from hal_ros.bags.inputs import inputs_among
from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagMessage
from hal_ros.bags.sensors import IMAGE
from hal_ros.core.card import EncoderSpec
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.spec import JOINT_STATE, CameraSpec, StateSpec, StreamSpec
from hal_ros.offline.replay import replay

MS, START_NS = 1_000_000, 5_000_000_000
TYPES = {"/front": IMAGE, "/wrist": IMAGE, "/joint_states": JOINT_STATE}


def image(topic: str, offset_ms: int, colour: str = "red", encoding: str = "rgb8") -> BagMessage:
    stamp_ns = START_NS + offset_ms * MS
    message = known_class(IMAGE)(header_message(stamp_ns, topic), 16, 16, encoding, 0, 48, picture(colour).reshape(-1))
    return BagMessage(topic, IMAGE, stamp_ns, serialise(message))


def joints(offset_ms: int, names: tuple[str, ...] = ("a", "b")) -> BagMessage:
    stamp_ns = START_NS + offset_ms * MS
    values = np.full(len(names), float(offset_ms))
    message = known_class(JOINT_STATE)(header_message(stamp_ns, "arm"), list(names), values, values, values)
    return BagMessage("/joint_states", JOINT_STATE, stamp_ns, serialise(message))


def frames(messages: Iterable[BagMessage], spec: StreamSpec, counters: Counter[str] | None = None) -> list[Frame]:
    inputs = inputs_among(TYPES, BagTypes(), spec, "model")
    return list(due_frames(messages, inputs, Counter() if counters is None else counters))


def state(name: str) -> StateSpec:
    return StateSpec(topic=("/joint_states",), names=(name,), fields=("position",))


def test_two_states_of_one_message_stand_in_the_tick_that_it_makes() -> None:
    for order in (("clock", "other"), ("other", "clock")):
        spec = StreamSpec("clock", {}, {name: state("ab"[index]) for index, name in enumerate(order)})
        found = frames([joints(0), joints(40), joints(100)], spec)
        assert [frame.due.values.tolist() for frame in found] == [[0, 0], [100, 100]]
        assert [frame.frame_id for frame in found] == ["arm", "arm"]


CROPS = {"whole": (0, 0, 16, 16), "left": (0, 0, 8, 16)}


def test_two_cameras_cut_their_own_out_of_one_topic() -> None:
    for clock in CROPS:
        cameras = {name: CameraSpec(topic=("/front",), size_px=16, crop=crop) for name, crop in CROPS.items()}
        (frame,) = frames([image("/front", 0)], StreamSpec(clock, cameras))
        whole, left = frame.pictures["whole"], frame.pictures["left"]
        assert whole is not None and left is not None
        assert (whole[..., 0] == 255).all() and not left[:, :4].any() and (left[:, 4:12, 0] == 255).all()
        assert [source.stream for source in frame.due.sources] == ["whole", "left"]


FRONT_AND_WRIST = StreamSpec(
    "front", {name: CameraSpec(topic=(f"/{name}",), size_px=16, max_age_s=0.25) for name in ("front", "wrist")}
)


def test_a_picture_that_serves_several_ticks_is_converted_and_encoded_once() -> None:
    bag = [image("/wrist", -10, "blue"), *(image("/front", offset) for offset in (0, 100, 200, 300))]
    found = frames(bag, FRONT_AND_WRIST)
    wrists = [frame.pictures["wrist"] for frame in found]
    assert wrists[0] is wrists[1] is wrists[2] is not None and wrists[3] is None
    card = make_card(streams=FRONT_AND_WRIST, encoder=EncoderSpec(3))
    backend = FakeBackend(card)
    list(replay(found, Segmenter(card, backend)))
    assert backend.encoded == 5
    assert [inputs.image_valid.tolist() for inputs in backend.inputs] == [[1, 1]] * 3 + [[1, 0]]


def test_a_picture_that_can_not_be_converted_is_counted_once_and_missed() -> None:
    counters: Counter[str] = Counter()
    bag = [image("/wrist", -10, encoding="invented"), *(image("/front", offset) for offset in (0, 100))]
    found = frames(bag, FRONT_AND_WRIST, counters)
    assert len(found) == 2 and all(frame.pictures["wrist"] is None for frame in found)
    assert counters["wrist/unreadable"] == 1
    assert frames([image("/front", 0, encoding="invented")], FRONT_AND_WRIST, counters) == []  # no tick without it
    assert counters["front/unreadable"] == 1


def test_what_is_not_of_its_type_is_counted_for_every_stream_of_the_topic() -> None:
    counters: Counter[str] = Counter()
    spec = StreamSpec("front", FRONT_AND_WRIST.cameras, {"one": state("a"), "two": state("b")})
    cut = joints(0)._replace(data=joints(0).data[:20])
    other = image("/joint_states", 0)
    found = frames([cut, other, joints(1, ("x",)), joints(2, ("a", "b", "a")), image("/front", 10)], spec, counters)
    assert len(found) == 1
    causes = {name: count for name, count in counters.items() if name.startswith(("one/", "two/")) and count}
    assert causes == {
        **{f"{name}/{cause}": 1 for name in ("one", "two") for cause in ("malformed", "unnamed")},
        "one/refused": 2,
        "two/refused": 1,
        "two/received": 1,
        "one/missing": 1,
    }
