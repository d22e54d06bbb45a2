"""Searches of hyper-parameters on held-out images: what is searched and how (`options`), the trials of a study and
their files (`study`), which values come next (`sampler`, the one file that knows Optuna), how long a trial is looked at
(`rungs`), its runs (`runner`), and the whole way from a command line to the winner (`command`, `tables`,
`pictures`)."""
