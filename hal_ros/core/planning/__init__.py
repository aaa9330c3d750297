"""What a planner asks of a segmenter, as values: what runs now, and goals that wait for an action."""
