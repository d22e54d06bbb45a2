"""`python -m chimeramix` is the `chimeramix` command."""

from chimeramix.console import main

raise SystemExit(main())
