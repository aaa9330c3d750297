"""What stands around the simulated arm: table, room, light, and the physics that move it."""
