"""Per-image augmentations, batched: parameters are drawn per sample, operations run on the whole batch.

An augmentation is a callable `augment(images, segments, rng) -> (images, segments)` on `[B, 3, S, S]` uint8 images and
`[B, S, S]` superpixel labels (or None), which it moves together.
"""
