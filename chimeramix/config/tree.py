"""Which configuration tree a command has: the package's own folder, and what the user adds to it."""

from dataclasses import dataclass
from pathlib import Path

from chimeramix.config.hydra_keys import search_path_word, split_search_path
from chimeramix.config.place import CONFIG_DIR


@dataclass(frozen=True)
class Tree:
    """Which configuration tree a command has.

    Attributes:
        role: `generator` or `classifier`.
        config_dir: a folder with further options of the config groups (Hydra's `--config-dir`).
        config_name: the root file, for another one than `train_<role>` (Hydra's `--config-name`).
        search_path: more such folders (`hydra.searchpath`). They belong to the tree, not to the overrides, because
            Hydra's own reading of that key is too late for `glob(*)`.
    """

    role: str
    config_dir: Path | None = None
    config_name: str | None = None
    search_path: tuple[Path, ...] = ()

    @property
    def root(self) -> str:
        return self.config_name or f"train_{self.role}"

    @property
    def folders(self) -> list[Path]:
        return [CONFIG_DIR, *([self.config_dir] if self.config_dir else []), *self.search_path]

    @property
    def options(self) -> list[str]:
        """The options that a command needs in order to have the same tree."""
        options = [f"--config-dir={self.config_dir.absolute()}"] if self.config_dir else []
        options += [f"--config-name={self.config_name}"] if self.config_name else []
        return [*options, *([search_path_word(self.search_path)] if self.search_path else [])]


def tree_of(
    role: str, overrides: list[str], config_dir: str | None = None, config_name: str | None = None
) -> tuple[Tree, list[str]]:
    """The tree that a command line asks for, and the overrides that it leaves. Raises `UserError`."""
    rest, search_path = split_search_path(overrides)
    return Tree(role, Path(config_dir) if config_dir else None, config_name, search_path), rest
