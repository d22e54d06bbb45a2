"""chimeramix: image classifiers trained from scratch on a handful of labelled images per class."""

__version__ = "0.1.0"
