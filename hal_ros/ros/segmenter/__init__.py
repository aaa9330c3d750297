"""The segmenter node: topics in, labels and boundaries out."""
