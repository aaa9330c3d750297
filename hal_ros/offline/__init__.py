"""Bags run through the node's own step without ROS: replay, label, read a recording."""
