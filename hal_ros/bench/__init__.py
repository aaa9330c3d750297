"""The benchmark of speed, memory and losses."""
