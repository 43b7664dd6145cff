"""State dicts, read without running code."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from skhyperfusion._wording import listing


def read_state(path, prefix):
    """Read a state dict without running code: name without `prefix` -> tensor."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"The weights {str(path)!r} do not exist. Give the path of a state dict.")
    if path.suffix == ".safetensors":
        content = load_file(path)
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # pickle's, zip's and torch's errors: whatever arbitrary bytes raise
            raise ValueError(
                f"The weights {str(path)!r} cannot be read as a state dict without running code "
                f"({type(error).__name__}). Save network.state_dict() by torch.save or safetensors."
            ) from error
    for inner in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(inner), dict):
            content = content[inner]
    is_state = isinstance(content, dict) and content
    if not is_state or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"The file {str(path)!r} holds no state dict, but a {type(content).__name__}.")
    state = {name[len(prefix) :]: value for name, value in content.items() if name.startswith(prefix)}
    if not state:
        raise ValueError(
            f"No name in {str(path)!r} begins with prefix={prefix!r}: it holds "
            f"{listing(content, noun='name')}."
        )
    return state
