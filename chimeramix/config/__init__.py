"""From a command line to checked settings: keys and types (`schema`), composition by Hydra (`compose`, `sweep`), checks
(`checks`) and what is said of a mistake (`messages`)."""
