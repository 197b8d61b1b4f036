"""From feature windows to motion: the MusicFace networks and what moves with them."""
