"""Scores, tables, timelines, reports and benchmarks. Knows no torch: predictions of torch models arrive as arrays."""
