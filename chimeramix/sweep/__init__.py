"""Sweeps: which runs are missing (`plan`), jobs that do them (`task`, `job`), where those run (`launch`, `pool`,
`slurm`), and the whole way from a command line to a summary (`driver`)."""
