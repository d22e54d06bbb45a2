"""The search space that a command's words hold, in Hydra's grammar: intervals, choices, lists and ranges."""

import math
from dataclasses import dataclass

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from chimeramix.config.compose import hydra_ready, parse
from chimeramix.config.tree import Tree
from chimeramix.errors import UserError

Value = int | float | str

_DIGITS = 4  # of a number drawn from an interval: short enough to be typed again
_SEEDS = "--seeds 3 averages over three seeds, from the command's own on"
_HELD_OUT = "--folds and --repeats say what is held out"
_ONE = "it changes no number: give it one value"
_REMEDIES = {
    "seed": _SEEDS,
    "split_seed": _SEEDS,
    "generator.seed": _SEEDS,
    "split": "a study is of one split: give it one value",
    "validation": _HELD_OUT,
    "max_labels_per_class": "search at one number; --for max_labels_per_class=N names the number to train with",
    "dataset": "a study is of one data set: search each by a command of its own",
    "method": _ONE,
    "tuned": _ONE,
    "rerun": _ONE,
    "machine": _ONE,
    "monitor": _ONE,
    "wandb": _ONE,
    "sweep": _ONE,
    "hydra": _ONE,
}
_WHOLE = ("dataset",)  # only the key itself, not those below it


@dataclass(frozen=True)
class Axis:
    """A key that is searched.

    Attributes:
        key: such as `optimizer.lr`.
        start: what stands before `=` in the command, such as `+experiment`.
        word: as it was typed.
        kind: `float` or `int` between `low` and `high`, both included, `step` apart where there is one; `choice` of
            `choices`.
        log: whether even distances are ratios.
        step: None for an interval.
        choices: as they are typed.
    """

    key: str
    start: str
    word: str
    kind: str
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[str, ...] = ()

    def snap(self, value: Value) -> Value:
        """A drawn value as it is trained with: a number of an interval has 4 digits, one of a range is exactly its."""
        if self.kind == "choice":
            return value
        assert not isinstance(value, str)
        if self.kind == "int":
            return round(value)
        if self.step is not None:
            value = self.low + round((value - self.low) / self.step) * self.step
            return min(_exact(value), self.high)
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)

    def text(self, value: Value) -> str:
        """The override that sets the key to a value."""
        return f"{self.start}={value}"

    def probes(self) -> list[Value]:
        """Values that tell whether the key takes all of the axis: ends, something between, and each choice."""
        if self.kind == "choice":
            return list(self.choices)
        between = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return list(dict.fromkeys([self.snap(self.low), self.snap(self.high), self.snap(between)]))

    def holds(self, value: object) -> Value | None:
        """A composed value as one of the axis, None where it is not on it."""
        if self.kind == "choice":
            same = (text for text in self.choices if text == str(value) or _number(text) == value)
            return next(same, None)
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        if self.kind == "int" or self.step is not None:
            return self.snap(value) if math.isclose(self.snap(value), value) else None  # type: ignore[arg-type]
        return float(value)


Words = list[str | Axis]


def read_space(tree: Tree, overrides: list[str]) -> Words:
    """The words of a command, in its order, those that search a key as an `Axis`.

    Raises:
        UserError: for a key that can't be searched, and for bounds that make no sense.
    """
    with hydra_ready(tree):
        words: Words = []
        for override in map(parse, overrides):
            words.append(_axis(override) if override.is_sweep_override() else str(override.input_line))
    keys = [word.key for word in words if isinstance(word, Axis)]
    if not keys:
        raise UserError(
            "nothing is searched: give keys a range of values, such as "
            "'optimizer.lr=tag(log,interval(0.001,0.1))' or augment=flip_crop,trivialaugment"
        )
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise UserError(f"{twice[0]} is searched twice: give it one range of values")
    return words


def axes_of(words: Words) -> list[Axis]:
    return [word for word in words if isinstance(word, Axis)]


def refuse_key(key: str, word: str) -> None:
    """Raises `UserError` for a key that no study may search."""
    for known, remedy in _REMEDIES.items():
        below = known not in _WHOLE and key.startswith((f"{known}.", f"{known}/"))
        if key == known or below:
            raise UserError(f"{word}: {key} can't be searched; {remedy}")


def _axis(override: Override) -> Axis:
    word, key = str(override.input_line), str(override.key_or_group)
    refuse_key(key, word)
    if override.is_delete():
        raise UserError(f"{word}: what is searched can't be removed")
    value, start = override.value(), override.get_key_element()
    tags = set(getattr(value, "tags", ()))
    if unknown := tags - {"log"}:
        raise UserError(f"{word}: there is no tag {min(unknown)}; the only one is log")
    if getattr(value, "shuffle", False):
        raise UserError(f"{word}: a search has no order to shuffle: leave shuffle out")
    if isinstance(value, IntervalSweep):
        axis = _interval(value, key, start, word, "log" in tags)
    elif isinstance(value, RangeSweep):
        axis = _range(value, key, start, word, "log" in tags)
    else:
        if tags:
            raise UserError(f"{word}: choices have no order, so log says nothing of them: leave it out")
        try:
            texts = tuple(dict.fromkeys(_plain(text) for text in override.sweep_string_iterator()))
        except HydraException as error:
            raise UserError(f"{word}: {' '.join(str(error).split())}") from error
        if not texts:
            raise UserError(f"{word}: no choice is left")
        axis = Axis(key, start, word, "choice", choices=texts)
    if axis.low == axis.high and len(axis.choices) < 2:
        only = axis.text(axis.choices[0] if axis.choices else axis.snap(axis.low))
        raise UserError(f"{word}: one value only, so that nothing is searched; write {only}")
    return axis


def _plain(text: str) -> str:
    """Hydra writes `True` and `None` for what is typed `true` and `null`."""
    return {"True": "true", "False": "false", "None": "null"}.get(text, text)


def _interval(value: IntervalSweep, key: str, start: str, word: str, log: bool) -> Axis:
    low, high = value.start, value.end
    assert low is not None
    assert high is not None
    whole = isinstance(low, int) and isinstance(high, int)
    _check_bounds(word, low, high, log)
    return Axis(key, start, word, "int" if whole else "float", low, high, log)


def _range(value: RangeSweep, key: str, start: str, word: str, log: bool) -> Axis:
    assert value.start is not None
    assert value.stop is not None
    first, step = value.start, value.step
    if step == 0 or not all(map(math.isfinite, (first, value.stop, step))):
        raise UserError(f"{word}: write range(START,STOP,STEP) with a step that is not 0")
    whole = all(isinstance(each, int) for each in (first, value.stop, step))
    count = math.ceil(_exact((value.stop - first) / step))  # STOP is not part of it
    if count < 1:
        raise UserError(
            f"{word}: an empty range; write range(START,STOP,STEP) from START up to STOP, which is left out"
        )
    last = first + (count - 1) * step
    low, high = sorted((first, last) if whole else (_exact(first), _exact(last)))
    if log and (not whole or abs(step) != 1):
        raise UserError(f"{word}: steps are even, log is not; write tag(log,interval({low},{high}))")
    if log:
        _check_bounds(word, low, high, log)
    return Axis(key, start, word, "int" if whole else "float", low, high, log, abs(step))


def _check_bounds(word: str, low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{word}: an interval needs two finite ends")
    if low > high:
        raise UserError(f"{word}: the interval is empty; write the smaller end first, interval({high},{low})")
    if log and low <= 0:
        raise UserError(f"{word}: on a log scale both ends must be above 0")


def _exact(value: float) -> float:
    """0.3 for 0.1 + 0.2."""
    return float(f"{value:.12g}")


def _number(text: str) -> object:
    named: dict[str, object] = {"true": True, "false": False, "null": None}
    if text in named:
        return named[text]
    try:
        return float(text)
    except ValueError:
        return text
