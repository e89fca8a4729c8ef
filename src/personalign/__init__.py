"""personalign: give a language model a persona, prove that it took, measure what that did."""

__version__ = "0.1.0"
__all__ = ["__version__"]
