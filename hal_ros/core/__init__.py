"""The pure core: values in, values out. No clock, file, thread, torch or ROS."""
