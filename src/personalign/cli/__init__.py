"""The command line: each command parses, then calls one library function."""

from personalign.cli.main import app, main

__all__ = ["app", "main"]
