"""What is told of an episode beside its transcript: annotations, and marks of persons and tools, on its ticks."""
