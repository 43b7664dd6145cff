import numpy as np
import pandas as pd
import pytest
from saved_parts import SMALL

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.persistence import save_model


@pytest.fixture(scope="session")
def table_study():
    """24 rows of pictures, gaps and categories: (X, labels, values)."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "picture": list(rng.normal(size=(24, 8, 8)).astype(np.float32)),
            "age": rng.normal(70, 8, 24),
            "tau": ["<80", 120, None, 300.5] * 6,
            "sex": ["F", "M", None, "F"] * 6,
        },
        index=[f"patient-{i:03d}" for i in range(24)],
    )
    X.loc["patient-003", "age"] = np.nan
    values = X["age"].fillna(70).to_numpy() + rng.normal(size=24)
    return X, np.where(values > np.median(values), "AD", "CN"), values


@pytest.fixture(scope="session")
def saved(table_study, tmp_path_factory):
    """A fitted classifier, and the path of its file."""
    X, labels, _ = table_study
    model = HyperFusionClassifier(**SMALL).fit(X, labels)
    path = tmp_path_factory.mktemp("saved") / "model.skhf"
    save_model(model, path)
    return model, path
