"""Whether a rig is fit to sort: a small check for each of its parts; none moves a gate."""
