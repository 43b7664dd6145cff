"""scikit-learn estimators that learn from images and tables together, by hypernetworks."""

__version__ = "0.1.0.dev0"
