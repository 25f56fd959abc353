"""``python -m specmath`` is the same as ``specmath``."""

import sys

from specmath.cli import main

if __name__ == "__main__":
    sys.exit(main())
