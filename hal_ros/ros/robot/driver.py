"""What a planner tells the simulated robot: the newest Option, from the executor's thread to that of the physics."""

from __future__ import annotations

from hal_msgs.msg import Option
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from hal_ros.core.errors import ConfigError
from hal_ros.ros.robot.scene import Scene

TOPIC = "option"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Driver:
    """Hears options, and passes each on once. One that comes between two episodes waits for the next."""

    def __init__(self, node: Node) -> None:
        self._log = node.get_logger()
        self._newest: Option | None = None
        self._obeyed = (0, 0)  # session and id of the option that was passed on last
        node.create_subscription(Option, TOPIC, self._hear, LATCHED)

    def _hear(self, option: Option) -> None:
        self._newest = option

    def drive(self, scene: Scene) -> bool:
        """Pass a new option on to a scene's executor; False where the planner is done with this episode."""
        option = self._newest
        if option is None or scene.executor is None or (option.session, option.option_id) == self._obeyed:
            return True
        self._obeyed = option.session, option.option_id
        try:
            scene.executor.tell(option.skill)
        except ConfigError as error:
            self._log.warning(f"option {option.option!r} is not obeyed: {error}")
            scene.executor.tell("")
        return bool(option.option)

    def skip_ending(self) -> None:
        """Take an option that only says that a plan is over as heard: the next episode has not begun."""
        option = self._newest
        if option is not None and not option.option:
            self._obeyed = option.session, option.option_id
