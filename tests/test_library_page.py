"""The examples of docs/library.md run as they stand."""

import re
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from chimeramix.mixing import ChimeraMix

PAGE = (Path(__file__).parent.parent / "docs" / "library.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"## ([^\n]+)\n(?:(?!\n## ).)*?```python\n(.*?)```", PAGE, flags=re.DOTALL))


def scope() -> dict[str, Any]:
    """What an example takes for granted."""
    generator = torch.Generator().manual_seed(0)
    dataset = TensorDataset(
        torch.randn(40, 3, 32, 32, generator=generator), torch.randint(10, (40,), generator=generator)
    )
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
    return {
        "dataset": dataset,
        "images": dataset.tensors[0],
        "labels": dataset.tensors[1],
        "loader": DataLoader(dataset, batch_size=13),
        "device": torch.device("cpu"),
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.01),
        "torch": torch,
    }


def test_a_plain_loop() -> None:
    names = scope()
    before = names["model"][1].weight.detach().clone()
    exec(BLOCKS["A plain loop"], names)
    assert not torch.equal(names["model"][1].weight, before)
    assert names["targets"].shape == (1, 10)  # the last, smaller batch


def test_in_a_data_loader() -> None:
    names = scope()
    source = BLOCKS["In a DataLoader"]
    module = types.ModuleType("example")  # worker processes are forked: they see what is defined here
    exec(source, {**names, "__name__": module.__name__})
    exec(source, names)
    torch.manual_seed(0)
    batches = list(names["loader"])
    assert sum(len(images) for images, _ in batches) == 40
    for images, targets in batches:
        assert images.shape[1:] == (3, 32, 32)
        assert targets.shape == (len(images), 10)


def test_with_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's loss, reduced to its definition: it isn't among this project's requirements."""

    class SoftTargetCrossEntropy(torch.nn.CrossEntropyLoss):
        """Takes soft targets, as timm's does."""

    loss = types.ModuleType("timm.loss")
    loss.SoftTargetCrossEntropy = SoftTargetCrossEntropy  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "timm", types.ModuleType("timm"))
    monkeypatch.setitem(__import__("sys").modules, "timm.loss", loss)
    names = scope()
    names["model"][1] = torch.nn.Linear(3 * 32 * 32, 1000)
    exec(BLOCKS["With timm, or Lightning"], names)
    assert names["loss"].isfinite()


def test_seeds_and_checkpoints(tmp_path: Path) -> None:
    names = scope() | {"path": tmp_path / "mixer.pt"}
    exec(BLOCKS["Seeds and checkpoints"], names)
    batch = names["images"], names["labels"]
    torch.testing.assert_close(names["later"](*batch), names["mixer"](*batch), rtol=0, atol=0)


def test_batches_of_any_structure() -> None:
    names = scope() | {"names": ["one"] * 40}
    exec(BLOCKS["Batches of any structure"], names)
    assert names["batch"]["label"].shape == (40, 10)
    assert names["batch"]["name"] == ["one"] * 40


def test_what_was_drawn() -> None:
    """The loss of both labels is the soft targets' loss."""
    names = scope()
    exec(BLOCKS["What was drawn"], names)
    expected = torch.nn.functional.cross_entropy(names["logits"], names["mixed"].targets)
    torch.testing.assert_close(names["loss"], expected)


def test_with_torch_compile() -> None:
    names = scope()
    torch.compiler.reset()
    exec(BLOCKS["With torch.compile"].replace("fullgraph=True", 'fullgraph=True, backend="aot_eager"'), names)
    assert names["step"](names["images"], names["labels"]).isfinite()


def test_several_mixers_and_one_of_your_own() -> None:
    for title in ("Several mixers", "A mixer of your own"):
        names = scope()
        exec(BLOCKS[title], names)
        images, targets = names["mixer"](*names["dataset"][:8])
        assert images.shape == (8, 3, 32, 32)
        torch.testing.assert_close(targets.sum(1), torch.ones(8))


def test_a_trained_generator_is_called_as_the_page_says() -> None:
    """The arguments; `tests/mixing/test_from_run.py` trains one."""
    names = scope() | {"support_images": 1, "support_labels": 2, "images": 3, "labels": 4}
    calls: list[Any] = []

    class Recorded(ChimeraMix):
        @classmethod
        def from_run(cls, *arguments: Any, **keywords: Any) -> Any:
            calls.append((arguments, keywords))
            return lambda images, labels: (images, labels)

    source = BLOCKS["A trained ChimeraMix generator"].replace("from chimeramix.mixing import ChimeraMix", "")
    exec(source, names | {"ChimeraMix": Recorded})
    (arguments, keywords) = calls[0]
    assert arguments[1:] == (1, 2)
    assert keywords.keys() <= ChimeraMix.from_run.__annotations__.keys()
