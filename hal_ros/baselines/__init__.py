"""The systems that people would pick instead, trained on the same clips and targets."""
