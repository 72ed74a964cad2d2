"""Standard output and standard error that take any text, whatever the locale."""

import sys
from io import TextIOWrapper


def accept_any_text() -> None:
    """Escapes the characters that the locale's encoding lacks, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
