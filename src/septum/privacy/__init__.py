"""What limits how much an update can tell about a record? Pure mechanisms and their accounting; no I/O."""
