"""What runs a bundle on the robot: card, back ends, engines, worker thread. No ROS; torch in torch_backend alone."""
