"""A planner that switches options at boundary events. `options` and `planner` are pure; `node` alone knows ROS."""
