"""The non-causal HAL teacher, trained from transcripts alone, and the labels that it gives."""
