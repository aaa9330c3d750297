"""Bags and the messages in them, read and written without a ROS installation."""
