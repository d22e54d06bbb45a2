"""A model card for the Hugging Face Hub, written from a run's record: what is not recorded is not said."""

import logging
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from chimeramix.config.schema import Config
from chimeramix.errors import RunFailure, UserError
from chimeramix.report.scores import Scores, log_probabilities
from chimeramix.report.store import FinishedRun, read_store
from chimeramix.runs.classifier import LIBRARY, Classifier, foreign_code
from chimeramix.runs.predictions import read_predictions
from chimeramix.runs.record import DamagedRecord, Record, evaluated_part, metrics_of
from chimeramix.terminal import counted

log = logging.getLogger(__name__)

_MOST_CLASSES = 20  # that are named in the text

_PAPERS = {
    "ChimeraMix": "C. Reinders, F. Schubert, B. Rosenhahn: ChimeraMix: Image Classification on Small Datasets via "
    "Masked Feature Mixing. IJCAI 2022. https://doi.org/10.24963/ijcai.2022/181",
    "GLICO": "I. Azuri, D. Weinshall: Generative Latent Implicit Conditional Optimization when Learning from Small "
    "Sample. ICPR 2021. https://arxiv.org/abs/2003.14297",
    "MiAMix": "W. Liang, Y. Liang, J. Jia: MiAMix: Enhancing Image Classification through a Multi-stage Augmented "
    "Mixed Sample Data Augmentation Method. 2023. https://arxiv.org/abs/2308.02804",
}

Rows = Sequence[tuple[str, object]]


def card(folder: Path, record: Record, config: Config, classifier: Classifier) -> str:
    """The text of `README.md` for a finished classifier's run, with the Hub's metadata on top.

    Args:
        folder: the run's; the other seeds are looked for beside it, in the same folder of runs.
    """
    result = record.result
    name = f"{_method(result)} on {result['dataset']}, {_samples(result['max_labels_per_class'])}"
    metadata = {
        "library_name": LIBRARY,
        "pipeline_tag": "image-classification",
        "tags": ["chimeramix", "image-classification", "pytorch", "small-data"],
        "metrics": ["accuracy"],
        "model-index": [{"name": name, "results": [_index(result)]}],
    }
    parts = [
        "---\n" + yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=1000) + "---",
        f"# {name}",
        _summary(classifier, result),
        "## Use",
        _use(classifier),
        "## Results",
        *_results(folder, result, config, classifier),
        "## Training",
        _table(_training(result, config)),
        "## Limits",
        "\n".join(f"- {each}" for each in _limits(result, config, classifier)),
        "## Licence",
        "This card states no licence. Whoever publishes the model adds one (`license:` in the lines on top), and looks "
        "up what that of the training images allows.",
        *_citation(result),
    ]
    return "\n\n".join(parts) + "\n"


def _method(result: dict[str, Any]) -> str:
    return "A classifier" if result["method"] in (None, "none") else str(result["method"])


def _samples(number: int | None) -> str:
    return "all training images" if number is None else f"{counted(number, 'image')} per class"


def _index(result: dict[str, Any]) -> dict[str, Any]:
    metrics = metrics_of(result)
    return {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {"type": result["dataset"], "name": result["dataset"], "split": evaluated_part(result)},
        "metrics": [
            {"type": "accuracy", "name": "Accuracy", "value": metrics["accuracy"]},
            {"type": "macro_accuracy", "name": "Macro accuracy", "value": metrics["macro_accuracy"]},
        ],
    }


def _summary(classifier: Classifier, result: dict[str, Any]) -> str:
    named = ", ".join(f"`{name}`" for name in classifier.classes[:_MOST_CLASSES])
    more = len(classifier.classes) - _MOST_CLASSES
    rest = f" and {more} more (`config.json`)" if more > 0 else ""
    side = classifier.image_size
    return (
        f"An image classifier of {len(classifier.classes)} classes: {named}{rest}. Its network ({result['model']}) "
        f"sees {side} x {side} pixels, which `preprocess` makes of images of any size. It was trained with chimeramix "
        f"on {counted(result['num_train'], 'labelled image')}."
    )


def _use(classifier: Classifier) -> str:
    foreign = foreign_code(classifier.blueprint.model)
    command = "" if foreign else "```bash\nchimeramix predict FOLDER photo.jpg\n```\n\n"
    trust = ", trust=True" if foreign else ""
    needs = f" and the code of {', '.join(f'`{name}`' for name in foreign)}" if foreign else ""
    return f"""FOLDER is where these files are; they need `pip install "chimeramix[train]"`{needs}.

{command}```python
import torch
import chimeramix

classifier = chimeramix.load_classifier("FOLDER"{trust})
images = torch.stack([classifier.preprocess("photo.jpg")])
probabilities = classifier(images).softmax(1)
print(classifier.classes[probabilities[0].argmax()])
```"""


def _results(folder: Path, result: dict[str, Any], config: Config, classifier: Classifier) -> Iterator[str]:
    part, metrics = evaluated_part(result), metrics_of(result)
    rows = [
        ("accuracy", _percent(metrics["accuracy"])),
        ("mean of the classes' accuracies", _percent(metrics["macro_accuracy"])),
    ]
    if len(classifier.classes) > 5:
        rows.append(("top-5 accuracy", _percent(metrics["top5"])))
    scores = _scores(folder, result)
    if scores is not None:
        rows.append(("expected calibration error (15 bins)", _percent(scores.calibration_error)))
        rows.append(("negative log-likelihood", f"{scores.nll:.3f} nats"))
    on = "test images" if part == "test" else f"images held out of the training part ({result.get('held_out')})"
    yield f"On all {result[f'num_{part}']:,} {on}, with weights {_weights(config)}:"
    yield _table(rows)
    alike = _alike(folder, result)
    if len(alike) < 2:
        yield "How much the accuracy varies with the seed is not known: no other run of these settings was found."
        return
    accuracies = [run.score for run in alike]
    draws = f"seeds {_listed(run.seed for run in alike)}"
    if any(run.draw.fold >= 0 for run in alike):
        draws += f", folds {_listed(run.draw.fold for run in alike)}"
    yield (
        f"{len(alike)} runs of these settings, this one among them ({draws}), have an accuracy of "
        f"{statistics.fmean(accuracies):.2f} ± {statistics.stdev(accuracies):.2f} % (mean and sample standard "
        f"deviation), from {min(accuracies):.2f} to {max(accuracies):.2f} %."
    )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(set(numbers))))


def _alike(folder: Path, result: dict[str, Any]) -> list[FinishedRun]:
    """The finished runs that differ from this one in their draws only, itself among them; none for a run that was moved
    out of its folder of runs, where whatever lies around would be searched."""
    place = folder.resolve().parent
    if place.name != result["role"]:
        return []
    with suppress(UserError, RunFailure):
        runs = read_store(place.parent).runs
        own = next((run for run in runs if run.identity == result["identity"]), None)
        if own is not None:
            key = own.settings, own.dataset, own.samples_per_class, own.part
            return [run for run in runs if (run.settings, run.dataset, run.samples_per_class, run.part) == key]
    return []


def _scores(folder: Path, result: dict[str, Any]) -> Scores | None:
    try:
        found = read_predictions(folder, result)
    except DamagedRecord as error:
        log.warning("the card says nothing of the calibration: %s", error)
        return None
    return None if found is None else Scores.of(log_probabilities(found.logits), found.labels)


def _training(result: dict[str, Any], config: Config) -> Rows:
    stretches = result.get("stretches") or [{}]
    software = {f"chimeramix {each.get('chimeramix')}, torch {each.get('torch')}" for each in stretches if each}
    where = {f"{each.get('device')}, {each.get('precision')}" for each in stretches if each}
    rows: list[tuple[str, object]] = [
        ("data set", result["dataset"]),
        ("training images", f"{_samples(result['max_labels_per_class'])}, {result['num_train']:,} in all"),
        ("drawn with", f"split seed {result['split_seed']}"),
        ("held out", result.get("held_out") or "nothing"),
        ("method", _method(result) if result["method"] not in (None, "none") else "no mixing"),
        ("augmentation", result["augment"]),
        ("model", result["model"]),
        ("weights", _weights(config)),
        ("views of an image", config.evaluation.views),
        ("epochs, steps", f"{result.get('epochs')}, {result['steps']:,}"),
        ("seed", result["seed"]),
        ("device, precision", "; ".join(sorted(where)) or "not recorded"),
        ("software", "; ".join(sorted(software)) or "not recorded"),
        ("run", f"`{result['identity']}`"),
    ]
    if result.get("generator_identity"):
        rows.append(("generator's run", f"`{result['generator_identity']}`"))
    if result.get("tuned"):
        rows.append(("settings chosen by", result["tuned"]))
    return rows


def _weights(config: Config) -> str:
    average = config.average
    if not isinstance(average, dict) or average.get("result") == "plain":
        return "of the last step"
    return f"averaged ({str(average.get('_target_')).rsplit('.', 1)[-1]})"


def _limits(result: dict[str, Any], config: Config, classifier: Classifier) -> Iterator[str]:
    others = list(_other_data(config))
    foreign = {*foreign_code(classifier.blueprint.model)}
    foreign |= {name for each in result.get("stretches") or [] for name in each.get("modules") or {}}
    data = f"It learned from {counted(result['num_train'], 'labelled image')}"
    if foreign:
        names = ", ".join(f"`{name}`" for name in sorted(foreign))
        yield f"{data}. What {names} brought along, such as pretrained weights, is not recorded."
    else:
        yield f"{data} and {' and '.join(others) if others else 'no other data: no pretrained weights'}."
    if foreign and others:
        yield f"Besides, {' and '.join(others)} were used."
    yield "It knows these classes only: whatever an image shows, the probabilities of the classes sum to 1."
    yield (
        "The figures hold for images like those that it was evaluated on. Other cameras, places and times were not "
        "tested, nor were groups of people, where images show such."
    )
    yield "A decision that matters to anybody needs a test of one's own, on images of one's own, first."


def _other_data(config: Config) -> Iterator[str]:
    """What a run used beside its labelled images."""
    for group in (config.generator, config.procedure):
        given = group if isinstance(group, dict) else {}
        if given.get("unlabelled"):
            yield f"{counted(given['unlabelled'], 'training image')} without labels"
        if given.get("transductive"):
            yield "the test images without their labels"
        if (given.get("perceptual") or {}).get("weights"):
            yield "a perceptual loss with weights that were trained on ImageNet"


def _citation(result: dict[str, Any]) -> Iterator[str]:
    cited = [paper for method, paper in _PAPERS.items() if method.lower() in str(result["method"]).lower()]
    if cited:
        yield "## Citation"
        yield "\n".join(f"- {paper}" for paper in cited)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _table(rows: Rows) -> str:
    cells = ((str(cell).replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in cells)])
