"""Run the command line as ``python -m e820pool``."""

from e820pool.cli import main

raise SystemExit(main())
