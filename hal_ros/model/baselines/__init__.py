"""What people would pick instead: small causal systems, each in one file, scored beside the model."""
