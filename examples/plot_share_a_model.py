"""
How do I share a model safely?
==============================

A model goes to another hospital. It must not carry rows, paths or ids of the study, the other side must be
able to open it without running code that came with it, and someone has to say what it is for.
"""

# %%
# Fit, and write the card
# -----------------------
# The card says what the model was fitted on, in counts; what only people know is left as blanks.

import pickle
import tempfile
from pathlib import Path

import numpy as np

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.persistence import load_model, model_card, save_model

cohort = make_brain_cohort(60, shape=(32, 32, 32), n_classes=2, random_state=0)
X, y = cohort.data, cohort.target
loader = ImageLoader(spacing=8.0, shape=(20, 24, 20))
model = HyperFusionClassifier(image_loader=loader, base_channels=4, max_epochs=4, random_state=0).fit(X, y)
card = model_card(model, X, y)
card = card.replace("*To be filled in.*", "Research on generated heads. Not for decisions about people.", 1)
print(card[:900])

# %%
# One file
# --------
# A zip with the description as JSON, the weights as tensors, the preprocessor by skops. It holds no row, no
# path and no id of the study; these lines look for them.

folder = Path(tempfile.mkdtemp())
path = folder / "dementia.skhf"
save_model(model, path, card=card)
content = path.read_bytes()
leaks = [text for text in [cohort.directory, *X.index] if text.encode() in content]
print(f"{path.stat().st_size / 1024:.0f} kB, leaks: {leaks}")

# %%
# The other side
# --------------
# ``load_model`` makes only types that are listed in the package, never ones that the file names. The
# predictions are the same, bit for bit.

received = load_model(path)
bool(np.array_equal(received.predict_proba(X), model.predict_proba(X)))

# %%
# A pickle works, too, between people who trust each other: opening one runs whatever its author put in. A
# file that is damaged, or that holds a type of its own, is refused with a reason.

damaged = folder / "damaged.skhf"
damaged.write_bytes(content[: len(content) // 2])
for attempt in [damaged, folder / "model.pickle"]:
    if attempt.suffix == ".pickle":
        attempt.write_bytes(pickle.dumps(model))
    try:
        load_model(attempt)
    except Exception as error:
        print(f"{type(error).__name__}: {str(error).replace(str(folder), '...')[:120]}")

# %%
# The data of the other side
# --------------------------
# Scans of another grid are brought to the model's; a column that is missing, or a category never seen, is
# said. What no software can tell is whether the model is any good there: score it on rows of the other
# hospital before anyone relies on it.

elsewhere = make_brain_cohort(40, shape=(36, 36, 36), n_classes=2, random_state=7)
print(f"accuracy on rows that it was fitted on {model.score(X, y):.2f}, elsewhere", end=" ")
print(f"{received.score(elsewhere.data, elsewhere.target):.2f}")
