"""TensorRT: engines built, proven, cached and run. Imported only where it was chosen."""
