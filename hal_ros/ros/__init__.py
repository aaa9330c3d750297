"""ROS 2 nodes: the only room that imports rclpy. Recorder, player and parameters; segmenter, robot and view below."""
