"""Bags, messages and episodes, without a ROS installation."""
