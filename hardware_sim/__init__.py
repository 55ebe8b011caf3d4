"""A simulated microscope and dispenser, reached the way hardware is."""
