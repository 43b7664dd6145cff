"""Rules that make one prediction of the probabilities of several classifiers."""

import numpy as np
from scipy.special import entr

#: Rules by name; all but "hard" need probabilities.
VOTING = ("soft", "hard", "confidence", "confidence_hard", "most_confident")


def combine(probabilities, voting, weights=None):
    """Combine the probabilities of several classifiers.

    Parameters
    ----------
    probabilities : array (n_members, n_samples, n_classes)
        Non-negative; zeros are allowed.
    voting : str
        "soft": mean of the probabilities. "hard": share of the members whose likeliest class it is.
        "confidence": mean of the probabilities, each member weighted, row by row, by the inverse of its
        entropy. "confidence_hard": share of those weights that the members give to their likeliest classes.
        "most_confident": the probabilities of the member of least entropy, the mean of these if several have
        it.
    weights : array (n_members,), default=None
        Further weights of the members, which multiply the inverse entropies; None: equal.

    Returns
    -------
    ndarray (n_samples, n_classes)
        Probabilities or shares; each row sums to 1.

    Notes
    -----
    A member whose probabilities are 0 and 1 has entropy 0 and an infinite weight: where there are such
    members, they alone count, and equally.

    Examples
    --------
    >>> sure, unsure = [[0.9, 0.1]], [[0.3, 0.7]]
    >>> combine([sure, unsure], "soft").round(3)
    array([[0.6, 0.4]])
    >>> combine([sure, unsure], "confidence").round(3)
    array([[0.692, 0.308]])
    >>> combine([sure, unsure], "most_confident").round(3)
    array([[0.9, 0.1]])
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    weights = np.ones(len(probabilities)) if weights is None else np.asarray(weights, dtype=np.float64)
    if (weights < 0).any() or not weights.any():
        raise ValueError(f"weights must not be negative, nor all zero. Got {weights.tolist()}.")
    if voting in ("soft", "hard"):
        share = np.broadcast_to(weights[:, None], probabilities.shape[:2])
    else:
        share = confidence(probabilities, weights)
    if voting == "most_confident":
        share = (share == share.max(axis=0)).astype(np.float64)
    if voting in ("hard", "confidence_hard"):
        probabilities = np.eye(probabilities.shape[2])[probabilities.argmax(axis=2)]
    # share (n_members, n_samples), probabilities (n_members, n_samples, n_classes)
    return (share[:, :, None] * probabilities).sum(axis=0) / share.sum(axis=0)[:, None]


def confidence(probabilities, weights):
    """Return weight over entropy (n_members, n_samples), as a share of the largest inverse entropy in a row.

    So no division by zero: where some entropies are 0, the others' shares are.

    Examples
    --------
    >>> confidence(np.array([[[1.0, 0.0]], [[0.5, 0.5]]]), np.ones(2)).tolist()
    [[1.0], [0.0]]
    """
    # Sorted: the same probabilities in another order of classes have the same entropy, to the last bit.
    entropy = entr(np.sort(probabilities, axis=2)).sum(axis=2)
    entropy[weights == 0] = np.inf  # such a member is not there
    least = entropy.min(axis=0)
    relative = np.divide(least, entropy, out=np.ones_like(entropy), where=entropy > 0)
    return relative * weights[:, None]
