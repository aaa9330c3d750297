"""Every source of labels for training: transcripts laid over clips, a teacher, annotations."""
