"""The live system as processes: started together, watched, ended in order."""
