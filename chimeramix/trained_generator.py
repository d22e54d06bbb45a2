"""Finds the trained generator that a classifier's configuration calls for."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from chimeramix import build
from chimeramix.commands import generator_command
from chimeramix.config import Settings
from chimeramix.errors import UserError
from chimeramix.machine import Machine
from chimeramix.run_folder import RunFolder
from chimeramix.spec import generator_spec


def load_generator(settings: Settings, facts: dict[str, Any], machine: Machine) -> nn.Module:
    """The frozen network of the generator that the same overrides train, on the machine's device.

    Raises:
        UserError: with the command to type, where that generator is missing, unfinished or damaged.
    """
    values = settings.values
    if values["generator"] is None:
        raise UserError("mixer needs a generator: choose one with generator=NAME, such as generator=chimera")
    # First, for what is wrong with the generator's own settings, and for a kind that the mixer can't use.
    network: nn.Module = build.generator(values).network
    build.check_generator(values, network)
    folder = RunFolder(Path(values["machine"]["runs_dir"]).expanduser(), generator_spec(values, facts), "generator")
    command = generator_command(settings.overrides)
    if folder.result() is None:
        state = f"its training in {folder.path} is not finished" if folder.path.exists() else "there is none"
        raise UserError(f"this run needs the generator {folder.identity}, and {state}; train it with: {command}")
    try:
        network.load_state_dict(load_file(folder.weights))
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder.weights} is damaged ({reason}); train it again with: {command} rerun=true") from error
    return network.to(machine.device).requires_grad_(False).eval()
