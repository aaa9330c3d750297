"""What /diagnostics says of the segmenter: three statuses made from counters, without asking ROS anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from hal_ros.core.card import ModelCard

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
DROPS = ("not_due", "repeated", "backwards", "zero", "overwritten", "unreadable", "lost", "unpaired", "discarded")
"""Why an image gave no label. not_due is no fault: the camera is faster than the model's grid."""


@dataclass(frozen=True)
class NodeSnapshot:
    """What the node knows when a report is due. Counters run since activation; times are in seconds."""

    state: str  # lifecycle state
    period_s: float  # since the last report
    active_s: float  # since activation
    counters: Counter[str] = field(default_factory=Counter)
    before: Counter[str] = field(default_factory=Counter)  # the counters of the last report
    image_age_s: float | None = None  # None: none came since activation
    joints_age_s: float | None = None
    image_error: str = ""  # why the newest image could not be converted
    image_qos_error: str = ""  # what a publisher offers that does not fit
    joints_qos_error: str = ""
    image_source: Callable[[], str] = str  # says who publishes images; asked only when none come
    joint_names_seen: frozenset[str] = frozenset()
    failure: str = ""  # why the node is not active
    facts: Mapping[str, str] = field(default_factory=dict)  # of bundle and backend
    stages_ms: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    def new(self, name: str) -> int:
        """How much a counter rose since the last report."""
        return self.counters[name] - self.before[name]

    def rate_hz(self, name: str) -> float:
        """How fast a counter rises."""
        return self.new(name) / self.period_s


@dataclass(frozen=True)
class SilenceLimits:
    """When silence becomes a warning, and the topics to name in it."""

    image_topic: str
    image_timeout_s: float
    joint_topic: str
    joint_timeout_s: float


def report(name: str, snapshot: NodeSnapshot, card: ModelCard | None, limits: SilenceLimits) -> list[DiagnosticStatus]:
    """Return the statuses `<name>: model`, `<name>: camera` and `<name>: joints`."""
    hardware = "" if card is None else card.name
    parts = {
        "model": (_judge_model(snapshot), _model_values(snapshot)),
        "camera": (_judge_camera(snapshot, card, limits), _camera_values(snapshot)),
        "joints": (_judge_joints(snapshot, card, limits), _joint_values(snapshot)),
    }
    return [
        DiagnosticStatus(
            level=level,
            name=f"{name}: {part}",
            message=message,
            hardware_id=hardware,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        for part, ((level, message), values) in parts.items()
    ]


def _judge_model(now: NodeSnapshot) -> tuple[bytes, str]:
    if now.failure:
        return ERROR, now.failure
    if now.state != "active":
        return OK, now.state
    if overwritten := now.new("overwritten"):
        return WARN, f"too slow: {overwritten} due images were overwritten in {now.period_s:.1f} s"
    return OK, f"{now.rate_hz('labels'):.1f} labels per second"


def _judge_camera(now: NodeSnapshot, card: ModelCard | None, limits: SilenceLimits) -> tuple[bytes, str]:
    if now.state != "active":
        return OK, now.state
    if card is not None and card.image is None:
        return OK, "not used by this model"
    if now.image_error or now.new("unreadable"):
        return ERROR, now.image_error or f"{now.new('unreadable')} images could not be converted"
    if now.image_qos_error and now.image_age_s is None:
        return WARN, now.image_qos_error
    silent_s = now.active_s if now.image_age_s is None else now.image_age_s
    if silent_s > limits.image_timeout_s:
        since = "since activation" if now.image_age_s is None else f"for {silent_s:.1f} s"
        return WARN, f"no image on {limits.image_topic} {since}; {now.image_source()}"
    for cause, words in (
        ("zero", "without a stamp"),
        ("repeated", "with the stamp of the one before"),
        ("backwards", "with a stamp before the newest"),
        ("lost", "lost on the way"),
    ):
        if count := now.new(cause):
            return WARN, f"{count} images {words} in {now.period_s:.1f} s"
    if now.image_age_s is None:
        return OK, "waiting for the first image"
    return OK, f"{now.rate_hz('images'):.1f} images per second"


def _judge_joints(now: NodeSnapshot, card: ModelCard | None, limits: SilenceLimits) -> tuple[bytes, str]:
    if now.state != "active":
        return OK, now.state
    if card is None or card.joints is None:
        return OK, "not used by this model"
    alone = "" if card.image is None else "; running on the camera alone"
    if now.joints_qos_error and now.joints_age_s is None:
        return WARN, now.joints_qos_error + alone
    silent_s = now.active_s if now.joints_age_s is None else now.joints_age_s
    if silent_s > limits.joint_timeout_s:
        since = "since activation" if now.joints_age_s is None else f"for {silent_s:.1f} s"
        return WARN, f"no joint state on {limits.joint_topic} {since}{alone}"
    if now.new("joints_unnamed") and not now.new("joint_samples"):
        seen, expected = ", ".join(sorted(now.joint_names_seen)), ", ".join(card.joints.names)
        return WARN, f"joint states name {seen or 'nothing'}; the model expects {expected}{alone}"
    if now.joints_age_s is None:
        return OK, "waiting for the first joint state"
    if missing := now.new("joints_missing"):
        return WARN, f"{missing} ticks without a joint state of the last {card.joints.max_age_s} s before the image"
    return OK, f"{now.rate_hz('joint_samples'):.1f} joint states per second"


def _model_values(now: NodeSnapshot) -> dict[str, str]:
    values = {"state": now.state, **now.facts}
    values |= {name: str(now.counters[name]) for name in ("labels", "boundaries", "held_ticks", "restarts", "overruns")}
    values["label_rate_hz"] = f"{now.rate_hz('labels'):.2f}"
    for stage, percentiles in now.stages_ms.items():
        for name, value in zip(("p50", "p95", "p99"), percentiles, strict=True):
            values[f"{stage}_{name}_ms"] = f"{value:.2f}"
    return values


def _camera_values(now: NodeSnapshot) -> dict[str, str]:
    values = {"images": str(now.counters["images"]), "image_rate_hz": f"{now.rate_hz('images'):.2f}"}
    values |= {f"dropped_{cause}": str(now.counters[cause]) for cause in DROPS}
    return values


def _joint_values(now: NodeSnapshot) -> dict[str, str]:
    names = ("joint_samples", "joints_late", "joints_missing", "joints_partial", "joints_unnamed")
    values = {name: str(now.counters[name]) for name in names}
    values["joint_rate_hz"] = f"{now.rate_hz('joint_samples'):.2f}"
    return values
