"""The former home of `inventory`'s single statements and open questions, for `study.tasks`."""

from personalign.psychometrics.inventory import interview_inventory, statement_inventory

__all__ = ["interview_inventory", "statement_inventory"]
