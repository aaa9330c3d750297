"""A training that begins with what another one has learnt, and adds actions to its vocabulary."""
