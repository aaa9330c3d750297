"""The simulated robot as an executor of skills: told which one to do, it does it and then holds still."""
