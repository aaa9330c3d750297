"""hal_ros: which action is the robot performing, and when does that action change."""

__version__ = "0.1.0"
