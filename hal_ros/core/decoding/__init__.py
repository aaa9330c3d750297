"""Online decoding: from log-probabilities to one action a tick, by durations, and along a known plan."""
