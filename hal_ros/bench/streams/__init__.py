"""What several cameras and fast topics cost: the tick, the intake, the node, ingest."""
