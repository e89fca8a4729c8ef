"""Who: personas as data."""

from personalign.personas.persona import DICHOTOMIES, TRAITS, TYPES, Persona, catalog, load, read

__all__ = ["DICHOTOMIES", "TRAITS", "TYPES", "Persona", "catalog", "load", "read"]
