"""What an estimator of estimators hands down to its inner one, and takes over from it."""

from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter


def passed(**metadata):
    """Return what was passed: the metadata that is not None."""
    return {name: value for name, value in metadata.items() if value is not None}


def unrouted_fit_params(estimator, metadata):
    """Return what the estimator's ``fit`` takes of `metadata`, where metadata routing is off.

    Raises TypeError if there are weights and it takes none; whatever else it does not take is left out.
    """
    if "sample_weight" in metadata and not has_fit_parameter(estimator, "sample_weight"):
        raise TypeError(
            f"sample_weight was passed, but fit of {type(estimator).__name__} does not take it. "
            "Leave it out, or (for a pipeline) use metadata routing."
        )
    return {name: value for name, value in metadata.items() if has_fit_parameter(estimator, name)}


def take_over_tags(tags, estimator):
    """Let `tags` say of inputs and chance what the inner estimator's own tags say."""
    own = get_tags(estimator)
    tags.input_tags = own.input_tags
    tags.non_deterministic = own.non_deterministic
    return tags
