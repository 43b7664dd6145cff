"""A fit that survives its process: after each epoch, all that it takes to go on, in one file."""

import json
import os
from contextlib import contextmanager
from pathlib import Path

import torch

from skhyperfusion._engine._callbacks import callback_states, plain_state, set_callback_states
from skhyperfusion._files import kept_from_children, write_whole
from skhyperfusion._wording import show

try:
    import fcntl
except ImportError:  # not on Windows: there, one process at a time may train in a folder
    fcntl = None  # type: ignore[assignment]

_PRIVATE = 0o600
_MOST_TOLD = 5  # differences


class Checkpoint:
    """The folder in which one fit keeps its last epoch.

    Parameters
    ----------
    folder : str
        Made if it is not there, for the user alone.
    identity : dict of str to dict of str to str
        All that the fit depends on, in words: "parameters", "data", "versions".
    """

    def __init__(self, folder, identity):
        self.folder = Path(folder)
        self.identity = identity

    @property
    def _state_file(self):
        return self.folder / "epoch.pt"

    @contextmanager
    def held(self):
        """Keep the folder for this fit; another process with the same fit waits, and then finds it finished.

        Raises
        ------
        ValueError
            If the folder holds another fit.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, _PRIVATE)
        with kept_from_children(descriptor):
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            for orphan in self.folder.glob(".*.tmp"):  # of a process that died while it wrote
                orphan.unlink()
            self._claim()
            yield

    def save(self, net):
        """Write the state of a net at the end of an epoch, whole or not at all."""
        device = torch.device(net.device)
        state = {
            "module": net.module_.state_dict(),
            "criterion": net.criterion_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "generators": {
                "torch": torch.get_rng_state(),
                "device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
                "order": net.order_generator_.get_state(),
                "augmentation": net.augmentation_generator_.get_state(),
            },
            # Batches are of use within their epoch alone, and would make each file larger than the last.
            "history": plain_state([{**r, "batches": []} for r in net.history], "the history holds"),
            "callbacks": callback_states(net.callbacks_),
            "stop_requested": net.stop_requested_,
        }
        write_whole(self._state_file, lambda file: torch.save(state, file), mode=_PRIVATE)

    def restore(self, net):
        """Set a net that is about to be trained to the end of the last epoch that was written, if one was."""
        if not self._state_file.exists():
            return
        try:
            # Tensors and plain values: nothing of the file is run.
            state = torch.load(self._state_file, map_location="cpu", weights_only=True)
        except Exception as error:  # arbitrary bytes make torch raise nearly anything
            raise ValueError(
                f"The checkpoint {str(self._state_file)!r} cannot be read ({type(error).__name__}): it was "
                "changed or damaged since it was written. Remove it to train from the start."
            ) from error
        net.module_.load_state_dict(state["module"])
        net.criterion_.load_state_dict(state["criterion"])
        net.optimizer_.load_state_dict(state["optimizer"])
        generators = state["generators"]
        torch.set_rng_state(generators["torch"])
        if generators["device"] is not None:
            torch.cuda.set_rng_state(generators["device"], torch.device(net.device))
        net.order_generator_.set_state(generators["order"])
        net.augmentation_generator_.set_state(generators["augmentation"])
        net.history[:] = state["history"]
        set_callback_states(net.callbacks_, state["callbacks"])
        net.stop_requested_ = state["stop_requested"]

    def _claim(self):
        """Write down whose folder it is, or refuse one that is another fit's."""
        path = self.folder / "fit.json"
        if not path.exists():
            if self._state_file.exists():
                raise ValueError(
                    f"checkpoint_dir: the folder {str(self.folder)!r} holds an epoch but no 'fit.json', "
                    "which would tell of which fit it is. Bring that file back, or remove the folder."
                )
            text = json.dumps(self.identity, indent=1, ensure_ascii=False).encode()
            write_whole(path, lambda file: file.write(text), mode=_PRIVATE)
            return
        try:
            found = json.loads(path.read_bytes())
            differences = [*_differences(found, self.identity)]
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{str(path)!r} is not what a fit wrote there. Remove the folder.") from error
        if differences:
            shown = "; ".join(differences[:_MOST_TOLD]) + "; ..." * (len(differences) > _MOST_TOLD)
            raise ValueError(
                f"checkpoint_dir: the folder {str(self.folder)!r} holds another fit than this one. What "
                f"differs: {shown}. Name another folder, or remove this one; for the many fits of a search "
                "put '{fit}' into the path, which gives each a folder of its own."
            )


def _differences(there, here):
    """Yield in words what two identities differ in; what follows from another parameter is not told."""
    for part, entries in here.items():
        known, told = there[part], False
        for name in [*entries, *(known.keys() - entries.keys())]:
            if known.get(name) != entries.get(name):
                yield f"{name}: {_brief(known.get(name))} there, {_brief(entries.get(name))} here"
                told = True
        if told:
            return


def _brief(text):
    return "nothing" if text is None else text if len(text) <= 60 else show(text)
