"""Data sets, networks, training, bundles and inference."""
