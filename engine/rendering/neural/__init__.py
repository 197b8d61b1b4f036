"""The neural renderer: rasterised guidance through a trained network to the picture."""
