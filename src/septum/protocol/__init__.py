"""The run machine and the silo machine, and the messages between them. Pure: no I/O, no clock."""
