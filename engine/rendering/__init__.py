"""From motion to pictures: one pure `draw` per renderer."""
