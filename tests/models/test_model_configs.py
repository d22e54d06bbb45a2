"""Every YAML of `conf/model` builds the network that its first line announces."""

import re
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

FOLDER = Path(__file__).parents[2] / "conf" / "model"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_announced_parameters(path):
    announced = re.match(r"# .*: ([\d,]+) parameters for 10 classes\n", path.read_text())
    assert announced, f"{path.name} starts with a line that tells the number of parameters"
    with torch.device("meta"):
        network = instantiate(OmegaConf.load(path), num_classes=10)
    assert sum(parameter.numel() for parameter in network.parameters()) == int(announced[1].replace(",", ""))
    assert network(torch.empty(2, 3, 96, 96, device="meta")).shape == (2, 10)


def test_there_are_all_six():
    names = {"wideresnet_16_8", "wideresnet_28_10", "wideresnet_10_2", "resnet18", "resnet50", "resnext50"}
    assert {path.stem for path in FOLDER.glob("*.yaml")} >= names
