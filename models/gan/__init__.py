"""Three generative adversarial networks for grey crops of 32 to 256 px, and their losses."""
