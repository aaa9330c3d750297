"""What is written of the results: rows, tables in Markdown, verdicts, pictures; report.py puts them together."""
