"""From a checkpoint to the ONNX graphs of a bundle, parity proven on the way."""
