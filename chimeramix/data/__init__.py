"""Labelled images: where they come from (`cifar`, `stl10`, `image_folder`, `digits`), which of them training may use
(`subset`), their superpixels (`segments`), and how they reach the training loop.
"""
