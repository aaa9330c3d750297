"""One training run: its settings, the eye, the causal student, and what is fitted on validation."""
