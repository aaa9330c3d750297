"""What the kinds of jobs do, one function each; kinds.py says which is which."""
