"""Sort spheroids: the controller."""
