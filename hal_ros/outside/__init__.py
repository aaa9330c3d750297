"""What comes from outside and goes there: files read within limits, outputs that spare a user's, printable text."""
