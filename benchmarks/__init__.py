"""One command per claim about time: `python -m benchmarks.NAME`; results are written to benchmarks/results/."""
