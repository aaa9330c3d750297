"""What runs a bundle on the robot: its card, the inference back ends and the worker thread. No torch, no ROS."""
