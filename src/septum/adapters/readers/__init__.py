"""How rows come out of each kind of source."""
