"""Fitted models as files that others can open safely, as cards that tell of them, and as ONNX."""

from skhyperfusion.persistence._archive import DamagedFileError
from skhyperfusion.persistence._card import model_card
from skhyperfusion.persistence._codec import UntrustedTypesError
from skhyperfusion.persistence._models import load_model, save_model
from skhyperfusion.persistence._onnx import export_onnx

__all__ = ["DamagedFileError", "UntrustedTypesError", "export_onnx", "load_model", "model_card", "save_model"]
