"""What a model takes from a robot, by name, and how it becomes ticks."""
