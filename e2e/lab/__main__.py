"""`python -m e2e.lab`: see cli.py."""

from __future__ import annotations

import sys

from e2e.lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
