"""What is recorded and said of a run that has finished."""

from typing import Any

from chimeramix.config.settings import Settings
from chimeramix.runs.assembly import Parts, Run
from chimeramix.runs.flops import training_flops
from chimeramix.runs.folder import RunFolder
from chimeramix.runs.record import evaluated_part
from chimeramix.runs.spec import FORMAT
from chimeramix.training.evaluation import Evaluator


def method_of(settings: Settings) -> str | None:
    """The method's name in tables: `method`, or else the experiment's, with the parts that the command line put in its
    parts' place: `MixUp (loss=cosine)`. A name that the command line gives says all."""
    name = settings.config.method or settings.names.get("experiment")
    if name is None:
        return settings.names.get("mixer")
    if any(word.lstrip("+").startswith("method=") for word in settings.overrides):
        return name
    # A generator's training knows of these parts the mask only.
    parts = [part for part in settings.replaced if settings.role == "classifier" or part.startswith("mask=")]
    return f"{name} ({', '.join(parts)})" if parts else name


def result_of(run: Run, parts: Parts, last: dict[str, Any]) -> dict[str, Any]:
    """The content of `result.json`, but for the weights' digest; `last` is what `fit` returns."""
    config, names = run.settings.config, run.settings.names
    return {
        "format": FORMAT,
        "role": run.settings.role,
        "dataset": config.dataset["name"],
        "experiment": names.get("experiment"),
        "method": method_of(run.settings),
        "augment": " + ".join(filter(None, (_chosen(run.settings, group) for group in ("augment", "erase")))),
        "model": _chosen(run.settings, "model" if run.settings.role == "classifier" else "generator"),
        "max_labels_per_class": config.max_labels_per_class,
        "seed": config.seed,
        "split_seed": config.split_seed,
        "held_out": config.validation.describe(),
        "identity": run.folder.identity,
        "generator_identity": run.generator.identity if run.generator else None,
        "epochs": last["epoch"],
        "steps": last["step"],
        "seconds": last["seconds"],
        "flops": training_flops(run, parts),
        "stretches": last["stretches"],
        "device": run.machine.describe(),
        "tuned": config.tuned,
        "num_train": len(parts.data.labels),
        "num_test": None,
        "test": None,
        **_evaluation(parts.evaluator, last),
    }


def _evaluation(evaluator: Evaluator | None, last: dict[str, Any]) -> dict[str, Any]:
    """The last epoch's metrics, under the name of the images that they were measured on."""
    if evaluator is None:
        return {}
    result = {f"num_{evaluator.part}": len(evaluator.labels), evaluator.part: last[evaluator.part]}
    return {**result, "variants": last["variants"]} if "variants" in last else result


def _chosen(settings: Settings, group: str) -> str | None:
    """The group's option with what the command line changed in it: `wideresnet_16_8 (width=2)`."""
    own = (word.lstrip("+") for word in settings.overrides)
    changes = [word.removeprefix(f"{group}.") for word in own if word.startswith(f"{group}.")]
    name = settings.names.get(group)
    return f"{name} ({', '.join(changes)})" if name and changes else name


def summary_of(folder: RunFolder, result: dict[str, Any]) -> str:
    """One line on a finished run."""
    if result["role"] == "generator":
        return f"{folder.path}: generator trained for {result['steps']} steps in {result['seconds']:.0f} s"
    part = evaluated_part(result)
    return (
        f"{folder.path}: {part} accuracy {100 * result[part]['accuracy']:.2f} % on {result[f'num_{part}']} images "
        f"after {result['steps']} steps in {result['seconds']:.0f} s"
    )
