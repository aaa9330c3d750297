"""The result tables: what is run, from what, and how its rows are written."""
