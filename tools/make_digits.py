"""Writes chimeramix/data/digits.npz from scikit-learn's copy of the handwritten digits (needs scikit-learn)."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).resolve().parents[1] / "chimeramix" / "data" / "digits.npz"


def main() -> None:
    digits = load_digits()
    np.savez_compressed(TARGET, images=digits.images.astype(np.uint8), labels=digits.target.astype(np.uint8))
    print(f"{TARGET.name}: {len(digits.target)} images, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
