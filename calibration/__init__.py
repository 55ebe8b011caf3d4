"""Calibrations: what was measured on a rig, when, how well, and under which conditions."""
