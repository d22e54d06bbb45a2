"""A package, so that `tests` is this folder whatever libraries bring along: torch-fidelity 0.4 installs its own."""
