"""What every training shares: checkpoints, schedule, progress, processes."""
