"""Transcripts laid over clips: who did what in which order becomes who did it when."""
