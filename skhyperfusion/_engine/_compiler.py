"""What torch.compile needs of a machine."""

import os
import shutil

COMPILERS = ("g++", "clang++", "cl")


def check_compiler(device_type):
    """Raise RuntimeError where torch.compile would find no C++ compiler for the CPU."""
    names = (os.environ["CXX"],) if os.environ.get("CXX") else COMPILERS
    if device_type == "cpu" and not any(map(shutil.which, names)):
        raise RuntimeError(
            f"compile=True needs a C++ compiler on a CPU, and found none of {', '.join(names)} on the PATH. "
            "Install one (g++ or clang), name one in the environment variable CXX, or pass compile=False."
        )
