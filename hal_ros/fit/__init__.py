"""What every training shares: the loop, checkpoints, schedule, progress."""
