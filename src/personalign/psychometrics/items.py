"""Former place of two loaders; `personalign.psychometrics.inventory` has them."""

from personalign.psychometrics.inventory import interview_inventory, statement_inventory

__all__ = ["interview_inventory", "statement_inventory"]
