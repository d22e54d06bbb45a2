"""Trains a generator:

python train_generator.py +dataset=cifair10 +experiment=chimeramix_grid max_labels_per_class=5
"""

import hydra
from omegaconf import DictConfig

from chimeramix.app import launch


@hydra.main(version_base="1.3", config_path="conf", config_name="train_generator")
def main(config: DictConfig) -> None:
    """Does nothing: Hydra answers --help, --info and --cfg, and `launch` trains."""


if __name__ == "__main__":
    launch(main, "generator")
