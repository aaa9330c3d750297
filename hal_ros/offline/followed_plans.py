"""Which plan a replay follows, tick by tick: one that it is given, or those that the node was given when it ran."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hal_ros.bags.answer_messages import FOLLOWED_TYPE
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import Frame
from hal_ros.bags.messages import to_ns
from hal_ros.bags.reader import BagMessage, read_messages
from hal_ros.bags.sensors import MOST_LATE_NS
from hal_ros.core.answers import ActionEstimate
from hal_ros.core.card import ModelCard
from hal_ros.core.decoding.known_plan import PlanEstimate, PlanState, PlanTracker, plan_ids

FOLLOWED_TOPIC = "/segmenter/plan"


@dataclass(frozen=True)
class PlanChange:
    """Another plan, and the label after which it counts."""

    message: BagMessage  # the recorded one
    after_ns: int  # stamp of that label; 0 where there was none
    session: int  # of the node that followed it
    tracker: PlanTracker | None  # None: no plan from here on


class FollowedPlans:
    """The plan of each tick of one replay; tells also which recorded messages take effect."""

    def __init__(self, tracker: PlanTracker | None = None, changes: Iterable[PlanChange] = ()) -> None:
        """Begin with a plan, or with none, and take up the changes in turn."""
        self._changes = deque(changes)
        self._tracker: PlanTracker | None = None
        self._state: PlanState | None = None
        self._take(tracker)

    def before(self, frame: Frame) -> Iterator[BagMessage]:
        """Take up what counts from this tick on, and yield its messages."""
        while self._changes and _counts(self._changes[0], frame):
            change = self._changes.popleft()
            self._take(change.tracker)
            yield change.message._replace(topic=FOLLOWED_TOPIC, receive_ns=frame.receive_ns)

    def restart(self) -> None:
        """Start the plan afresh, as the segmenter does."""
        self._take(self._tracker)

    def follow(self, estimate: ActionEstimate, origin_ns: int) -> PlanEstimate | None:
        """Place one estimate in the plan; None without a plan or a confirmed answer."""
        if self._tracker is None or self._state is None:
            return None
        progress, self._state = self._tracker.follow(estimate, origin_ns, self._state)
        return progress

    def _take(self, tracker: PlanTracker | None) -> None:
        self._tracker = tracker
        self._state = None if tracker is None else tracker.start()


def _counts(change: PlanChange, frame: Frame) -> bool:
    """Whether a plan counts at a tick: it comes after the label that the plan names, of the same life of the node.

    Where a simulation was reset the same stamps come again; then the times of reception tell them apart.
    """
    of_another_life = frame.session and change.session != frame.session
    recorded_later = change.message.receive_ns - frame.receive_ns > MOST_LATE_NS
    return not of_another_life and change.after_ns < frame.due.stamp_ns and not (recorded_later and change.after_ns)


def recorded_plans(bag: Path, topics: Iterable[str], card: ModelCard) -> list[PlanChange]:
    """Return the plans that were followed when a bag was recorded. Raises ConfigError for actions of another model."""
    types, named = BagTypes.of(bag), set(topics)
    changes = []
    for message in read_messages(bag, named) if named else ():
        if message.type_name == FOLLOWED_TYPE:
            plan = types.deserialise(FOLLOWED_TYPE, message.data)
            ids = plan_ids(list(plan.labels), card.vocabulary)
            tracker = PlanTracker(ids, card) if ids else None
            changes.append(PlanChange(message, to_ns(plan.header.stamp), int(plan.session), tracker))
    return changes
