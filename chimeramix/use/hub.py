"""A classifier's folder as the Hugging Face Hub wants it: weights, configuration, model card."""

from pathlib import Path

import torch
from safetensors.torch import save

from chimeramix.config.schema import Config
from chimeramix.errors import RunFailure
from chimeramix.files import write_json
from chimeramix.runs.classifier import CONFIG, WEIGHTS, Classifier, load_classifier
from chimeramix.runs.record import Record
from chimeramix.use.card import card


def save_hub(run: Path, folder: Path, record: Record, config: Config, classifier: Classifier) -> None:
    """Makes the folder of a run's classifier; `chimeramix.load_classifier` gives the same logits of it, to the bit.

    Args:
        record, config, classifier: the run's, as `chimeramix.runs.classifier.read_run` gives them.

    Raises:
        RunFailure: where what was written is not that classifier.
    """
    folder.mkdir()
    numbers = {str(number): name for number, name in enumerate(classifier.classes)}
    for_others = {  # as other people's tools look for them
        "id2label": numbers,
        "label2id": {name: int(number) for number, name in numbers.items()},
        "image_size": classifier.image_size,
    }
    write_json(folder / CONFIG, {**classifier.blueprint.to_json(), **for_others})
    tensors = {name: tensor.contiguous() for name, tensor in classifier.network.state_dict().items()}
    (folder / WEIGHTS).write_bytes(save(tensors, {"format": "pt", "identity": classifier.blueprint.identity}))
    (folder / "README.md").write_text(card(run, record, config, classifier), encoding="utf-8")
    _compare(load_classifier(folder, trust=True), classifier)


@torch.no_grad()
def _compare(loaded: Classifier, classifier: Classifier) -> None:
    side = classifier.image_size
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    if not torch.equal(loaded(images), classifier(images)):
        raise RunFailure("what is loaded from the folder gives other logits than the run: nothing is written")
