"""Who: personas as data."""

from personalign.personas.persona import DICHOTOMIES, TRAITS, TYPES, Persona, catalog, load, read
from personalign.personas.scaffold import scaffold

__all__ = ["DICHOTOMIES", "TRAITS", "TYPES", "Persona", "catalog", "load", "read", "scaffold"]
