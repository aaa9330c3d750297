"""The nodes: segmenter, simulated robot, recorder, player and live view. Only this room knows ROS."""
