"""Imports point one way: entry points -> sweeps and reports -> runs -> training -> parts -> leaves."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import chimeramix

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

PACKAGE = Path(chimeramix.__file__).parent
ROOT = PACKAGE.parent

LEAVES = {"types", "errors", "files", "streams", "shares", "machine", "optimize", "terminal"}
ROOT_FILES = LEAVES | {"", "__main__", "app", "cli", "console"}
PARTS = {"data", "augment", "mixing", "masks", "generators", "models", "losses"}
TRAINING = {"training"}

# Which files may know a library that shapes whatever knows it; a folder stands for all of its files.
CONFINED = {
    "omegaconf": {"config", "app"},
    "hydra": {"config", "runs.build", "app"},
    "wandb": {"training.tracking"},
    "skimage": {"data.segments", "evaluate.reconstruction"},
    "torch_fidelity": {"evaluate.fidelity"},
    "optuna": {"tuning.sampler"},
    "pymde": {"evaluate.embedding"},
    "onnx": {"use.onnx_file"},
    "onnxruntime": {"use.onnx_file"},
    "onnxscript": {"use.onnx_file"},
}


def name_of(path):
    """`chimeramix/data/subset.py` is `data.subset`, `chimeramix/data/__init__.py` is `data`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path):
    """Dotted names of all modules that a file imports, at its top or within a function."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from chimeramix.runs import build` imports chimeramix.runs.build.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if is_own_module(name) else node.module for name in names]
    return found


def is_own_module(name):
    place = ROOT.joinpath(*name.split("."))
    return name.startswith("chimeramix.") and (place.with_suffix(".py").exists() or place.is_dir())


MODULES = {name_of(path): imports_of(path) for path in sorted(PACKAGE.rglob("*.py"))}


def own(module):
    """First parts of the package's modules that a module imports: `data`, `types`, ..."""
    return {name.split(".")[1] for name in MODULES[module] if name.startswith("chimeramix.")}


def test_all_layers_are_there():
    heads = {name.split(".")[0] for name in MODULES}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == PARTS | TRAINING | {"config", "runs", "sweep", "report", "tuning", "evaluate", "use"}
    assert heads - folders == ROOT_FILES


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    head = module.split(".")[0]
    if module == "mixing.chimera":
        # `ChimeraMix.from_run` imports it when called: a run can't be read with torch alone.
        assert own(module) <= LEAVES | {"mixing", "runs"}
        return
    if head in LEAVES:
        assert own(module) <= LEAVES
    elif head in PARTS:
        assert own(module) <= LEAVES | {head}
    elif head in TRAINING:
        assert own(module) <= LEAVES | PARTS | TRAINING
    elif head == "config":
        assert own(module) <= {"config", "errors"}, "settings are composed without torch"
    elif head == "runs":
        assert own(module).isdisjoint({"sweep", "report", "evaluate", "use", "app", "cli"})
    else:
        # What surrounds training may know it all; but nobody below knows the command line.
        assert own(module).isdisjoint({"app", "cli"}) or head in ("app", "cli", "console", "__main__")
    assert not any(name.startswith("train_") for name in MODULES[module]), "nothing imports an entry point"


def test_no_circles():
    """No file imports, at its top or within a function, a file that leads back to it."""
    edges = {
        module: {name.removeprefix("chimeramix.") for name in names if name.startswith("chimeramix.")} - {module}
        for module, names in MODULES.items()
    }
    left = {module: targets & MODULES.keys() for module, targets in edges.items()}
    while free := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]
    assert not left


def test_one_file_knows_hydras_private_modules():
    users = {module for module, names in MODULES.items() if any("hydra._internal" in name for name in names)}
    assert users == {"config.compose"}


@pytest.mark.parametrize(("library", "allowed"), CONFINED.items())
def test_libraries_stay_where_they_are_known(library, allowed):
    users = {
        module
        for module, names in MODULES.items()
        if any(name == library or name.startswith(f"{library}.") for name in names)
    }
    assert all(user in allowed or user.split(".")[0] in allowed for user in users), users


@pytest.mark.parametrize("role", ["generator", "classifier"])
def test_entry_points_hold_no_logic(role):
    path = ROOT / f"train_{role}.py"
    assert set(imports_of(path)) == {"hydra", "omegaconf", "chimeramix.app"}
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 30


REFUSE = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused!r}:
            raise ModuleNotFoundError(f"{{name}} is not to be imported", name=name)

sys.meta_path.insert(0, Refuse())
"""

IMPORTED_AS = {
    "hydra-core": {"hydra"},
    "hydra-submitit-launcher": {"hydra_plugins", "submitit"},
    "omegaconf": {"omegaconf", "yaml"},
    "pillow": {"PIL"},
    "scikit-image": {"skimage"},
    "torch-fidelity": {"torch_fidelity"},
}


def project():
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]


def names(requirements):
    """`hydra-core>=1.3,<1.4` is `hydra-core`."""
    return {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}


def without(packages, program):
    """Runs a program that can import none of these packages; torch's own needs stay."""
    packages = packages - names(metadata.requires("torch"))
    refused = set().union(*(IMPORTED_AS.get(package, {package}) for package in packages))
    # torch itself says that NumPy is missing.
    options = ["-W", "error", "-W", "ignore:Failed to initialize NumPy"]
    program = REFUSE.format(refused=refused) + program
    return subprocess.run([sys.executable, *options, "-c", program], cwd=ROOT, capture_output=True, text=True)


def test_mixers_need_nothing_but_the_core():
    """They are for other people's training loops, too: what pip installs without extras is torch, and is enough."""
    assert names(project()["dependencies"]) == {"torch"}
    program = """
import chimeramix.mixing, torch
mixer = chimeramix.mixing.MiAMix(num_classes=10, rng=0)
images, targets = mixer(torch.rand(4, 3, 32, 32), torch.arange(4))
assert torch.allclose(targets.sum(1), torch.ones(4))
mixer.load_state_dict(mixer.state_dict())
print(*sorted(name for name in sys.modules if name.startswith("chimeramix.")))
"""
    done = without(names(project()["optional-dependencies"]["train"]), program)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[1] for name in done.stdout.split()}
    assert loaded <= LEAVES | {"mixing"}


def test_the_extras_hold_all_that_the_package_imports():
    extras = project()["optional-dependencies"]
    installed = set().union(
        *(
            IMPORTED_AS.get(name, {name})
            for name in names(extras["train"] + extras["tune"] + extras["fidelity"] + extras["embed"] + extras["onnx"])
        )
    )
    imported = {name.split(".")[0] for found in MODULES.values() for name in found}
    assert imported - set(sys.stdlib_module_names) - {"chimeramix", "torch"} <= installed
    assert {f"chimeramix[{name}]" for name in extras if name != "dev"} <= set(extras["dev"])


@pytest.mark.parametrize(
    "command", [["prepare", "demo/digits"], ["train-classifier", "--help"], ["report", "runs"], ["--version"]]
)
def test_the_console_script_says_what_to_install(command):
    program = f"from chimeramix.console import main; raise SystemExit(main({command}))"
    done = without(names(project()["optional-dependencies"]["train"]), program)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r'error: \w+ is not installed; .*: pip install "chimeramix\[train\]"', line)


def test_prepare_without_hydra_says_so():
    program = "from chimeramix.console import main; raise SystemExit(main(['prepare', 'demo/digits']))"
    done = without({"hydra-core"}, program)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("error: hydra is not installed;")


def test_a_search_without_optuna_says_so():
    words = ["tune", "train_classifier.py", "+dataset=demo/digits", "optimizer.lr=0.1,1"]
    done = without({"optuna"}, f"from chimeramix.console import main; raise SystemExit(main({words}))")
    assert done.returncode == 1
    assert done.stderr == ('error: optuna is not installed; chimeramix tune needs it: pip install "chimeramix[tune]"\n')


def test_an_evaluation_without_torch_fidelity_says_so():
    program = "from chimeramix.console import main; raise SystemExit(main(['evaluate', 'run']))"
    done = without({"torch-fidelity"}, program)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line == (
        "error: torch_fidelity is not installed; KID and FID need it: "
        'pip install "chimeramix[fidelity]", or leave them out with --no-fidelity'
    )


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_an_export_without_the_packages_of_onnx_says_so(package):
    program = "from chimeramix.console import main; raise SystemExit(main(['export', 'run', '--format', 'onnx']))"
    done = without({package}, program)
    assert done.returncode == 1
    assert done.stderr == (
        f'error: {package} is not installed; chimeramix export --format onnx needs it: pip install "chimeramix[onnx]"\n'
    )


def test_a_report_needs_no_torch():
    done = without(set(), "import sys, chimeramix.cli; raise SystemExit('torch' in sys.modules)")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_documented_installations_bring_the_commands():
    environment = yaml.safe_load((ROOT / "environment.yaml").read_text())
    assert environment["dependencies"][-1] == {"pip": ["-e .[train]"]}
    assert '-e ".[dev]"' in (ROOT / "Makefile").read_text()
    assert 'pip install -e ".[train]"' in (ROOT / "README.md").read_text()
