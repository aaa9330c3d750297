"""Metrics of segmentation, timing and calibration, and the predictions that they score."""
