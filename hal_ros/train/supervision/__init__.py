"""What a run learns from, and where what it was told leaves doubt."""
