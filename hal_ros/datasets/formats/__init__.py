"""Other people's dataset layouts, each read into clips."""
