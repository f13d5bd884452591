"""Nothing in here is a test of septum's: it is installed elsewhere, and runs there."""

collect_ignore_glob = ["*"]
