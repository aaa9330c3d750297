"""Speed of training and export, off the robot: processor time of the commands that a user waits for."""
