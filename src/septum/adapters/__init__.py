"""What touches the world: one folder per port, independent of each other."""
