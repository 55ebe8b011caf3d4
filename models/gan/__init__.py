"""GANs that draw the rare class; they come in an issue of their own."""
