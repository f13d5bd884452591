"""For plugin authors and septum's own tests: fakes of the ports, and the contract suites that adapters must pass."""
