"""Parts of septum that come from other packages, by entry points."""
