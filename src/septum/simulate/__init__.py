"""The same run machine, silo machine and training code as a federation, in one process with a fake clock."""
