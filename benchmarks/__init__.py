"""Every bar of the project is one script here, ``bar_NN_*.py``, that anyone can run."""
