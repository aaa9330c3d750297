"""The networks of the learned baselines, one file each, in our own words from the papers."""
