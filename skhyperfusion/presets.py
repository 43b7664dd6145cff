"""The two set-ups of the HyperFusion study: estimators that are built as the paper's, and not fitted yet."""

from typing import Any

import numpy as np
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

from skhyperfusion._estimators import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._table._imputation import StandardizedImputer
from skhyperfusion._table._preprocessor import TabularPreprocessor
from skhyperfusion.images._loader import ImageLoader

__all__ = ["alzheimer_classifier", "alzheimer_preprocessor", "brain_age_regressor", "mni152_hippocampi"]

# Shape of an MNI152 template of 1 mm: the voxel at x = y = z = 0 mm, axes to the right, front and top.
MNI152_ORIGINS = {
    (182, 218, 182): (91, 126, 72),  # MNI152NLin6Asym, FSL's MNI152_T1_1mm
    (193, 229, 193): (96, 132, 78),  # MNI152NLin2009cAsym, the one that fMRIPrep uses
}
# Start and stop in mm. Both halves of the first axis hold the midline, so each has 64 voxels.
_HIPPOCAMPI = ((-63, 64), (-68, 28), (-42, 22))


def alzheimer_classifier(**overrides: Any) -> HyperFusionClassifier:
    """Return the paper's classifier of cognitively normal, mildly impaired and demented subjects.

    The scan is a skull-stripped T1 image of the head in MNI152 space (see `mni152_hippocampi`); every other
    column of the table is a clinical value. Nothing else needs to be declared.

    Parameters
    ----------
    **overrides : dict
        Parameters of `HyperFusionClassifier` that are to differ from the paper's; nested ones too, such as
        ``image_loader__crop`` or ``tabular_preprocessor__imputer__imputer__max_iter``.

    Returns
    -------
    HyperFusionClassifier
        Not fitted.

    Raises
    ------
    ValueError
        If there is no parameter of such a name.

    See Also
    --------
    brain_age_regressor : The paper's other task.
    skhyperfusion.ensemble.FoldEnsembleClassifier : One model per fold, combined, as in the paper.

    Notes
    -----
    From the paper: a box of 64 x 96 x 64 voxels at each hippocampus, the left one mirrored, standardised over
    the voxels that are not zero; one side at random in training, the mean of both in prediction. The
    residual network with 16 base channels and dropout .1, .2, .2, .3 in its blocks, .6 before the head and .5
    inside it; the hypernetwork makes the shortcut convolution of the last block from an embedding of 8 units
    (linear, batch normalisation, PReLU), which is pre-trained on the table alone. Cross-entropy weighted by
    class, Adam at 1e-4 with weight decay 1e-5, 32 rows a batch, 250 epochs; the epoch of the best balanced
    accuracy on validation rows. The table goes through `alzheimer_preprocessor`.

    Where the paper is silent, this was chosen:

    - Where the boxes lie: `mni152_hippocampi`. For scans in another space give a box of your own, around
      **both** sides, in voxels of the scan turned to RAS, which is halved across its middle:
      ``image_loader__crop=((24, 152), (60, 156), (30, 94))``. For scans that are cut out already:
      ``image_loader__crop=None``.
    - The standardisation looks at the box, both sides together.
    - Class weights inverse to the classes' frequencies; a constant learning rate; no augmentation.
    - 20 epochs of pre-training.

    One thing differs: the paper chose the epoch on the fold that was left out; this classifier holds out a
    quarter of its own rows, as many as one fold of four.

    References
    ----------
    Duenias, Nichyporuk, Arbel, Riklin Raviv, "HyperFusion: A hypernetwork approach to multimodal
    integration of tabular and medical imaging data for predictive modeling", Medical Image Analysis, 2025,
    arXiv 2403.13319, the task of Alzheimer's disease.

    Examples
    --------
    >>> from skhyperfusion.presets import alzheimer_classifier
    >>> classifier = alzheimer_classifier(device="cpu", random_state=0)
    >>> classifier.max_epochs, classifier.lr, classifier.monitor
    (250, 0.0001, 'balanced_accuracy')
    """
    classifier = HyperFusionClassifier(
        image_loader=ImageLoader(crop=mni152_hippocampi, bilateral=0, intensity="zscore"),
        tabular_preprocessor=alzheimer_preprocessor(image_columns=None),
        augmentation=None,
        fusion="hyper",
        backbone="resnet-paper",
        base_channels=16,
        dropout=(0.1, 0.2, 0.2, 0.3, 0.6, 0.5),
        hyper_depth=1,
        embedding_dim=8,
        shared_embedding=True,
        hyper_init="principled",
        hyper_lr_scale=1.0,
        pretrain_embedding=20,
        max_epochs=250,
        lr=1e-4,
        batch_size=32,
        optimizer="adam",
        weight_decay=1e-5,
        lr_schedule=None,
        class_weight="balanced",
        early_stopping=True,
        validation_fraction=0.25,
        n_iter_no_change=250,
        monitor="balanced_accuracy",
    )
    return classifier.set_params(**overrides)


def brain_age_regressor(**overrides: Any) -> HyperFusionRegressor:
    """Return the paper's regressor of the age of a healthy subject's brain, conditioned on the sex.

    The table holds the scan, a T1 image of the brain, and the sex; another column would be used as well.

    Parameters
    ----------
    **overrides : dict
        Parameters of `HyperFusionRegressor` that are to differ from the paper's; nested ones too, such as
        ``image_loader__spacing``.

    Returns
    -------
    HyperFusionRegressor
        Not fitted.

    Raises
    ------
    ValueError
        If there is no parameter of such a name.

    See Also
    --------
    alzheimer_classifier : The paper's other task.
    skhyperfusion.ensemble.FoldEnsembleRegressor : The mean of the best models, as in the paper.

    Notes
    -----
    From the paper: the plain network with 16, 32 and 64 channels and without padding, dropout .2, and linear
    layers of 16, 32, 64 and 1 units; the hypernetwork makes all four linear layers, each from an embedding
    of its own, of size 1, of the one-hot sex. Mean squared error, Adam at 1.5e-4 with weight decay .05, 64
    rows a batch, 60 epochs. Scans of 84 x 116 x 92 voxels, which give the paper's 39,424 features behind the
    last convolution (as do 84 to 91 x 116 to 123 x 92 to 99).

    Where the paper is silent, this was chosen:

    - Voxels of 2 mm: the scan is resampled, and a window of 168 x 232 x 184 mm around its centre is taken,
      which holds a head. Scans without an affine need ``image_loader__spacing=None``: their whole field of
      view is then stretched to the shape.
    - An embedding is linear, batch normalisation and PReLU, as in the paper's other task.
    - Intensities standardised over the voxels that are not zero; no augmentation; a constant learning rate.
    - The target is standardised (``scale_target``), and with it the error.
    - The epoch of the least validation loss is kept. Validation rows are a ninth of the rows: of the paper's
      80 : 10 : 10 the test rows are not here.

    The paper's test prediction is the mean of its 5 best models: ``FoldEnsembleRegressor(n_best=5)`` fits one
    model per split, keeps those that score best on the rows left out, and averages them.

    References
    ----------
    Duenias, Nichyporuk, Arbel, Riklin Raviv, "HyperFusion: A hypernetwork approach to multimodal
    integration of tabular and medical imaging data for predictive modeling", Medical Image Analysis, 2025,
    arXiv 2403.13319, the task of brain age.

    Examples
    --------
    >>> from skhyperfusion.presets import brain_age_regressor
    >>> regressor = brain_age_regressor(random_state=0, image_loader__spacing=None)
    >>> regressor.image_loader.shape, regressor.image_loader.spacing
    ((84, 116, 92), None)
    """
    regressor = HyperFusionRegressor(
        image_loader=ImageLoader(spacing=2.0, shape=(84, 116, 92), intensity="zscore"),
        augmentation=None,
        fusion="hyper",
        backbone="vgg-paper",
        base_channels=16,
        dropout=0.2,
        hyper_depth=1,
        embedding_dim=1,
        shared_embedding=False,
        hyper_init="principled",
        hyper_lr_scale=1.0,
        pretrain_embedding=0,
        max_epochs=60,
        lr=1.5e-4,
        batch_size=64,
        optimizer="adam",
        weight_decay=0.05,
        lr_schedule=None,
        scale_target=True,
        early_stopping=True,
        validation_fraction=1 / 9,
        n_iter_no_change=60,
        monitor="loss",
    )
    return regressor.set_params(**overrides)


def alzheimer_preprocessor(**overrides: Any) -> TabularPreprocessor:
    """Return the paper's preprocessing of the clinical table, to be fitted inside each fold.

    Gaps are imputed iteratively, at most 200 rounds from the median start; each column that has gaps gets a
    flag; numbers are standardised, flags and one-hot categories stay 0 and 1; ``"<80"`` and ``">1700"`` are
    read as 80 and 1700. (The authors did this before they split the data; an estimator that holds this
    preprocessor does it on the rows that it trains on.)

    Parameters
    ----------
    **overrides : dict
        Parameters of `TabularPreprocessor` that are to differ; nested ones too, such as
        ``imputer__imputer__max_iter``.

    Returns
    -------
    TabularPreprocessor
        Not fitted.

    Raises
    ------
    ValueError
        If there is no parameter of such a name.

    See Also
    --------
    alzheimer_classifier : Uses it.

    Notes
    -----
    Where the paper is silent, this was chosen: each column is regressed on all others by scikit-learn's
    default, Bayesian ridge regression; rounds end before the 200th once no value moves by more than a
    thousandth of the largest; all in standard units, and within the range that was seen in `fit`.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhyperfusion.presets import alzheimer_preprocessor
    >>> X = pd.DataFrame({"tau": ["<80", 160, None, 240], "sex": ["F", "M", "F", "M"]})
    >>> alzheimer_preprocessor().fit_transform(X).round(2)
    array([[-1.41,  0.  ,  1.  ,  0.  ],
           [ 0.  ,  0.  ,  0.  ,  1.  ],
           [ 0.  ,  1.  ,  1.  ,  0.  ],
           [ 1.41,  0.  ,  0.  ,  1.  ]])
    """
    rounds = IterativeImputer(initial_strategy="median", max_iter=200, random_state=0)
    preprocessor = TabularPreprocessor(
        imputer=StandardizedImputer(rounds), add_indicator=True, scaler="standard"
    )
    return preprocessor.set_params(**overrides)


def mni152_hippocampi(voxels: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Return the box of both hippocampi in a scan in MNI152 space: a `crop` of `ImageLoader`.

    With ``bilateral=0`` it gives two views of 64 x 96 x 64 voxels, from the midline outward.

    Parameters
    ----------
    voxels : ndarray (C, X, Y, Z)
        A scan on the grid of an MNI152 template of 1 mm, turned to RAS: 182 x 218 x 182 voxels
        (MNI152NLin6Asym, as FSL writes it) or 193 x 229 x 193 (MNI152NLin2009cAsym, as fMRIPrep does).

    Returns
    -------
    tuple of (start, stop) pairs
        In voxels. In mm of MNI152 space: x from -63 to 63, y from -68 to 27, z from -42 to 21.

    Raises
    ------
    ValueError
        If the scan is on another grid.

    Notes
    -----
    Along y and z the box is centred on the hippocampi, whose centres in the AAL atlas are, in whole mm,
    (29, -20, -10) and (-25, -21, -10); along x a side starts at the midline, so that the mirrored left side
    covers the right one. The paper does not say where its boxes lie.

    References
    ----------
    Tzourio-Mazoyer et al., "Automated anatomical labeling of activations in SPM using a macroscopic
    anatomical parcellation of the MNI MRI single-subject brain", NeuroImage 15, 2002: the AAL atlas.

    Examples
    --------
    >>> import numpy as np
    >>> mni152_hippocampi(np.zeros((1, 182, 218, 182), dtype=np.uint8))
    ((28, 155), (58, 154), (30, 94))
    """
    shape = voxels.shape[1:]
    if shape not in MNI152_ORIGINS:
        raise ValueError(
            f"the scan has shape {shape}; where the hippocampi are is known for MNI152 space at 1 mm, shape "
            f"{' or '.join(map(str, MNI152_ORIGINS))}. Register the scans, or pass "
            "image_loader__crop=((x0, x1), (y0, y1), (z0, z1)) around both sides"
        )
    origin = MNI152_ORIGINS[shape]
    return tuple((zero + start, zero + stop) for zero, (start, stop) in zip(origin, _HIPPOCAMPI, strict=True))
