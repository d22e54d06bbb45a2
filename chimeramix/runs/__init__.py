"""One run: its identity (`spec`), folder (`folder`, `state`), parts (`build`, `assembly`) and training (`train`)."""
