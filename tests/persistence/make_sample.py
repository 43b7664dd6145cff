"""Write the sample of a file format, once, when the format is new: ``python make_sample.py``.

The samples of older formats stay as they are: they are what `load_model` must go on reading.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.persistence import save_model
from skhyperfusion.persistence._models import FORMAT

FOLDER = Path(__file__).parent / "samples"


def main():
    path = FOLDER / f"format-{FORMAT}-classifier.skhf"
    if path.exists():
        raise SystemExit(f"{path} is there already, and a sample is never written anew.")
    FOLDER.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"picture": list(rng.normal(size=(20, 8, 8))), "age": rng.normal(70, 8, 20)})
    X.loc[3, "age"] = np.nan
    y = np.where(X["age"].fillna(70) > 70, "old", "young")
    model = HyperFusionClassifier(
        base_channels=1, max_epochs=2, hyper_depth=1, embedding_dim=2, device="cpu", random_state=0
    )
    pictures = rng.normal(size=(3, 8, 8))
    rows = pd.DataFrame({"picture": list(pictures), "age": [60.0, np.nan, 80.0]})
    np.save(FOLDER / "pictures.npy", pictures)
    np.save(FOLDER / f"format-{FORMAT}-probabilities.npy", model.fit(X, y).predict_proba(rows))
    save_model(model, path)


if __name__ == "__main__":
    main()
