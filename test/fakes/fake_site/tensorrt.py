"""What `import tensorrt` finds in a process that a test with fakes starts: it puts the fake module in its own place."""

import fake_tensorrt

fake_tensorrt.install_in_child()
