"""placeholder"""

from septum.cli.command import noun

app = noun("coordinator", "x")
