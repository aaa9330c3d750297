"""Every transition, and every way that one can fail; whatever happens is logged and the node can be used again."""

from __future__ import annotations

from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn

from fakes import FakeBackend
from hal_ros.core.errors import BackendError, ConfigError, HalError
from ros_fakes import Rig, values

pytestmark = pytest.mark.ros
SUCCESS, FAILURE, ERROR = (getattr(TransitionCallbackReturn, name) for name in ("SUCCESS", "FAILURE", "ERROR"))


def call(rig: Rig, kind: type, name: str, request: Any) -> Any:
    client = rig.robot.create_client(kind, name)
    rig.until(client.service_is_ready)
    future = client.call_async(request)
    rig.until(future.done)
    rig.robot.destroy_client(client)
    return future.result()


def change(rig: Rig, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(call(rig, ChangeState, "segmenter/change_state", request).success)


def official_state(rig: Rig) -> str:
    return str(call(rig, GetState, "segmenter/get_state", GetState.Request()).current_state.label)


def test_a_lifecycle_manager_drives_the_node_through_all_states(rig: Rig) -> None:
    node = rig.segmenter()
    walk = [
        (Transition.TRANSITION_CONFIGURE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, "active"),
        (Transition.TRANSITION_DEACTIVATE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, "active"),
        (Transition.TRANSITION_DEACTIVATE, "inactive"),
        (Transition.TRANSITION_CLEANUP, "unconfigured"),
        (Transition.TRANSITION_CONFIGURE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, "active"),
        (Transition.TRANSITION_ACTIVE_SHUTDOWN, "finalized"),
    ]
    for transition, state in walk:
        assert change(rig, transition)
        assert official_state(rig) == node.state == state


def test_labels_come_after_every_activation_and_only_then(rig: Rig) -> None:
    node = rig.active()
    rig.show("red", 0)
    node.trigger_deactivate()
    rig.until(lambda: not rig.images.get_subscription_count())
    node.trigger_activate()
    rig.until(rig.matched)
    rig.show("blue", 1)
    assert [label.label for label in rig.labels] == ["red", "blue"]
    assert [label.tick for label in rig.labels] == [0, 0]  # what came before is not carried over


def test_an_inactive_node_subscribes_to_nothing(rig: Rig) -> None:
    node = rig.segmenter()
    node.trigger_configure()
    own = {info.topic_name for info in node.subscriptions if "camera" in info.topic_name or "joint" in info.topic_name}
    assert not own
    node.trigger_activate()
    assert {"/camera/color/image_raw", "/joint_states"} <= {info.topic_name for info in node.subscriptions}


@pytest.mark.parametrize(
    ("error", "result"), [(BackendError("no such device"), FAILURE), (RuntimeError("a bug"), ERROR)]
)
def test_a_failing_configure_is_logged_and_can_be_repeated(
    rig: Rig, capfd: pytest.CaptureFixture[str], error: Exception, result: TransitionCallbackReturn
) -> None:
    rig.segmenter().destroy_node()  # writes the bundle
    rig.nodes.pop()
    broken = True

    def open_backend(bundle: Any, *_: Any) -> tuple[FakeBackend, str]:
        if broken:
            raise error
        return FakeBackend(bundle.card), "repaired"

    node = rig.bare_segmenter(open_backend)
    assert node.trigger_configure() == result
    assert node.state == official_state(rig) == "unconfigured"
    assert str(error) in capfd.readouterr().err
    rig.status("model", DiagnosticStatus.ERROR, str(error))
    broken = False
    assert node.trigger_configure() == SUCCESS
    assert node.state == official_state(rig) == "inactive"


def test_a_failing_activate_leaves_the_node_inactive(
    rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("no such topic")

    monkeypatch.setattr("hal_ros.ros.segmenter.node.Session", refuse)
    node = rig.segmenter()
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == FAILURE
    assert node.state == official_state(rig) == "inactive"
    assert "can't activate: no such topic" in capfd.readouterr().err
    assert node.trigger_cleanup() == SUCCESS


def test_an_exception_in_activate_is_logged_and_recovered_from(
    rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = rig.segmenter()
    node.trigger_configure()
    with monkeypatch.context() as patched:
        patched.setattr("hal_ros.ros.segmenter.node.Session", lambda *_: 1 / 0)
        assert node.trigger_activate() == ERROR
    assert node.state == official_state(rig) == "unconfigured"
    assert "ZeroDivisionError" in capfd.readouterr().err
    node.trigger_configure()
    node.trigger_activate()
    rig.until(rig.matched)
    rig.show("red", 0)


def test_autostart_needs_no_manager(rig: Rig) -> None:
    node = rig.segmenter(autostart=True)
    node.start()
    assert node.state == "active"


def test_without_autostart_the_node_waits(rig: Rig) -> None:
    node = rig.segmenter()
    node.start()
    assert node.state == "unconfigured"


def test_a_failing_autostart_says_why(rig: Rig) -> None:
    node = rig.segmenter(autostart=True, model="/nowhere")
    with pytest.raises(HalError, match=r"/nowhere/card.json"):
        node.start()


def test_its_last_report_before_the_end_has_all_labels(rig: Rig) -> None:
    node = rig.active(diagnostics_period_s=60.0)
    for tick in range(3):
        rig.show("red", tick)
    node.stop()
    rig.until(lambda: any(values(one).get("labels") == "3" for report in rig.diagnostics for one in report.status))


def test_stop_closes_the_open_segment_from_any_state(rig: Rig) -> None:
    node = rig.active()
    for tick in range(4):
        rig.show("red", tick)
    node.stop()
    rig.until(lambda: rig.boundaries[-1].to_label == "")
    assert node.state == "finalized"
    node.stop()  # a second one is harmless
