"""What a user's bags hold that a model could take, what of it is chosen, and how that is told."""
