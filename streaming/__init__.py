"""Time and the world: clocks, threads, devices, files. Drives `engine`, which knows none."""
