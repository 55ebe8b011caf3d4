"""Hardware behind small protocols: camera, serial link, dispenser, firmware."""
