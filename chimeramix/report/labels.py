"""Names by which a person tells data sets and variants of a method apart, and legends of those that are abbreviated."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

_UNNAMED = "image_folder"  # dataset.name of one's own images that were given no other
_MOST_SETTINGS = 3  # of a variant, written out in its name
_LONGEST_VALUE = 24


@dataclass(frozen=True)
class Label:
    """A name in tables and plots.

    Attributes:
        settings: what tells it apart from others of the same kind, `optimizer.lr=0.1, epochs=20`; empty for nothing.
        abbreviated: whether the name leaves that to a legend.
    """

    name: str
    settings: str = ""
    abbreviated: bool = False

    @property
    def legend(self) -> list[str]:
        return [f"{self.name}: {self.settings}"] if self.abbreviated else []


@dataclass(frozen=True)
class DataSet:
    """Images that runs were trained on.

    Attributes:
        name: `dataset.name`.
        facts: what else is known of them, as JSON; see `chimeramix.types.DataSource.facts`.
    """

    name: str
    facts: str

    @classmethod
    def of(cls, name: str, settings: dict[str, Any]) -> "DataSet":
        return cls(name, json.dumps(settings.get("facts") or {}, sort_keys=True))


def data_set_labels(found: dict[DataSet, Path]) -> dict[DataSet, Label]:
    """A label for each data set: its name, and for a folder of images that was given none the folder's.

    Args:
        found: with the folder of a run that was trained on it.
    """
    # What has facts is no published data set: its name may be shared, and its folder says more.
    roots = {each: _root(run) if json.loads(each.facts) else None for each, run in found.items()}
    labels: dict[DataSet, Label] = {}
    for name, sharing in _grouped((_own_name(each, root), each) for each, root in roots.items()).items():
        longer = {each: _with_parent(name, roots[each]) for each in sharing}
        if len(sharing) == 1:
            labels[sharing[0]] = Label(name)
        elif len(set(longer.values())) == len(sharing):
            labels |= {each: Label(text) for each, text in longer.items()}
        else:
            letters = _letters(name, {_own_name(each, root) for each, root in roots.items()})
            texts = {each: _described(each, roots[each], sharing) for each in sharing}
            if len(set(texts.values())) < len(texts):
                texts = {each: f"{text}, content {_digest(each.facts)}".lstrip(", ") for each, text in texts.items()}
            order = sorted(sharing, key=lambda each: (texts[each], each.facts))
            labels |= {each: Label(next(letters), texts[each], abbreviated=True) for each in order}
    return labels


def variant_labels(
    name: str, variants: dict[str, dict[str, Any]], one_per_size: bool, taken: Iterable[str]
) -> dict[str, Label]:
    """A label for each of a method's configurations, by identity.

    Args:
        name: the method's.
        variants: the configurations, flat.
        one_per_size: whether each number of samples has one of them only, so that all have the method's name.
        taken: names of other methods.
    """
    if one_per_size:
        return dict.fromkeys(variants, Label(name))
    every = differing_keys(variants.values())
    # Another class of a part has other keys: the class says enough, unless a class has several variants.
    classes = tuple(key.removesuffix("_target_") for key in every if key.endswith("._target_"))
    for keys in ([key for key in every if key.endswith("._target_") or not key.startswith(classes)], every):
        pairs = {identity: list(_pairs(variants[identity], keys)) for identity in variants}
        texts = {identity: ", ".join(map("=".join, each)) for identity, each in pairs.items()}
        if len(set(texts.values())) == len(texts):
            break
    if len(keys) <= _MOST_SETTINGS and all(
        len(value) <= _LONGEST_VALUE for each in pairs.values() for _, value in each
    ):
        return {identity: Label(f"{name} ({text})" if text else name, text) for identity, text in texts.items()}
    order = sorted(variants, key=lambda identity: [rank(variants[identity].get(key)) for key in keys] + [identity])
    letters = _letters(name, taken)
    return {identity: Label(next(letters), texts[identity], abbreviated=True) for identity in order}


def differing_keys(variants: Iterable[dict[str, Any]]) -> list[str]:
    """The keys in which flat configurations differ, sorted; what is known of the images is left out."""
    values: dict[str, set[str]] = defaultdict(set)
    variants = list(variants)
    for settings in variants:
        for key, value in settings.items():
            values[key].add(str(float(value)) if type(value) is int else str(value))
    everywhere = set.intersection(*(set(settings) for settings in variants))
    differing = [key for key, found in values.items() if len(found) > 1 or key not in everywhere]
    return sorted(key for key in differing if not key.startswith("facts."))


def flat(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`("optimizer.lr", 0.1)` for each value of nested dictionaries."""
    if isinstance(settings, dict) and (settings or not prefix):
        for key, value in settings.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, settings


def shown(key: str, value: Any) -> tuple[str, str]:
    """A key and its value as they are typed; a class by its name alone, under that of its group."""
    if key.endswith("._target_"):
        return key.removesuffix("._target_"), str(value).rsplit(".", 1)[-1]
    return key, show_value(value)


def show_value(value: Any) -> str:
    """As it is typed: `null`, `true`, `[1,2]`."""
    if isinstance(value, list):
        return f"[{','.join(map(show_value, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def config_of(run: Path) -> dict[str, Any]:
    """All keys of a run's configuration, also those that are not part of its identity; empty where they are lost."""
    import yaml  # only where there are images of one's own: the report of published data sets loads quicker

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast
        content = yaml.load((run / "config.yaml").read_text(encoding="utf-8"), loader)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _root(run: Path) -> Path | None:
    dataset = config_of(run).get("dataset")
    root = dataset.get("root") if isinstance(dataset, dict) else None
    return Path(root) if isinstance(root, str) else None


def _own_name(data_set: DataSet, root: Path | None) -> str:
    name = root.name if root is not None and data_set.name == _UNNAMED else ""
    return data_set.name if name in ("", "..") else name


def _with_parent(name: str, root: Path | None) -> str:
    return f"{root.parent.name}/{name}" if root is not None and root.parent.name not in ("", "..") else name


def _described(data_set: DataSet, root: Path | None, others: list[DataSet]) -> str:
    """Where the images lie and how many they are."""
    facts = json.loads(data_set.facts)
    texts = [f"dataset.name={data_set.name}"] if len({each.name for each in others}) > 1 else []
    texts += [f"dataset.root={root}"] if root is not None else []
    for key, what in (("num_train", "training images"), ("num_test", "test images")):
        texts += [f"{facts[key]} {what}"] if key in facts else []
    texts += [f"{len(facts['classes'])} classes"] if isinstance(facts.get("classes"), list) else []
    return ", ".join(texts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _pairs(settings: dict[str, Any], keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    return (shown(key, settings[key]) for key in keys if key in settings)


def rank(value: Any) -> tuple[int, float, str]:
    """Sorts numbers by size, before texts."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, float(value), "") if number else (1, 0.0, str(value))


def _letters(name: str, taken: Iterable[str]) -> Iterator[str]:
    """`name A` to `name Z`, `name AA` and so on, without names that there are already."""
    taken = set(taken)
    for number in count():
        text, rest = "", number
        while rest >= 0:
            text, rest = chr(ord("A") + rest % 26) + text, rest // 26 - 1
        if f"{name} {text}" not in taken:
            yield f"{name} {text}"


def _grouped(pairs: Iterable[tuple[str, DataSet]]) -> dict[str, list[DataSet]]:
    groups: dict[str, list[DataSet]] = defaultdict(list)
    for name, data_set in pairs:
        groups[name].append(data_set)
    return groups
