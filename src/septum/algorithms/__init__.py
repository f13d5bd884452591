"""How are the silos' updates and metrics combined? Pure numpy, one file per paper; no I/O, no global state."""
