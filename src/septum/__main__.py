"""`python -m septum`: the command line, where the `septum` script is not on the path."""

import sys

from septum.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
