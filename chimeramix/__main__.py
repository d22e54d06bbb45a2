"""`python -m chimeramix` is the `chimeramix` command."""

from chimeramix.cli import main

raise SystemExit(main())
