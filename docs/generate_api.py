"""Writes docs/api.md from the docstrings of the package: `python docs/generate_api.py`."""

import inspect
import re
from dataclasses import is_dataclass
from pathlib import Path

from lightning import Callback
from torch import nn

import lightprune

PAGE = Path(__file__).with_name("api.md")
HEAD = """# Python API

Every name is imported from `lightprune`; `help(lightprune)` shows the same. Made from the
docstrings by `python docs/generate_api.py`; the examples are run by `tests/test_api.py`.
`lightprune.export` is a package; the function that exports a run is `export_run`.
"""


def public_names():
    """Every documented object by its name; those of the package `sparse` one by one."""
    for name in lightprune.__all__:
        value = getattr(lightprune, name)
        if inspect.ismodule(value):
            yield from ((f"{name}.{inner}", getattr(value, inner)) for inner in value.__all__)
        else:
            yield name, value


def example_of(value):
    """The code in a docstring: an indented paragraph; and whose docstring, of its own or a base."""
    owners = inspect.getmro(value) if inspect.isclass(value) else (value,)
    for owner in (each for each in owners if each.__module__.startswith("lightprune")):
        text = inspect.getdoc(owner) or ""
        if found := re.search(r"\n\n((?:    .*\n|\n)+)", f"{text}\n"):
            return inspect.cleandoc(found[1]), owner
    return None, value


def _docstrings(value):
    yield inspect.getdoc(value)
    if is_dataclass(value):
        yield from (
            inspect.getdoc(base) for base in inspect.getmro(value)[1:] if is_dataclass(base)
        )
    if not inspect.isclass(value):
        return
    if constructor := getattr(vars(value).get("__init__"), "__doc__", None):
        yield inspect.cleandoc(constructor)
    if not issubclass(value, Callback | nn.Module | Exception) and not is_dataclass(value):
        methods = inspect.getmembers(value, inspect.isroutine)
        shown = [(name, each) for name, each in methods if not name.startswith("_")]
        yield "Methods:\n" + "\n".join(
            f"    {_signature(name, each)}: {inspect.getdoc(each).splitlines()[0]}"
            for name, each in shown
        )


def _signature(name, value):
    if inspect.isclass(value) and issubclass(value, Exception):
        return name
    shown = []
    parameters = inspect.signature(value).parameters
    for each in (each for name, each in parameters.items() if name != "self"):
        plain = isinstance(each.default, str | int | float | None)
        default = "" if each.default is each.empty else f"={each.default!r}" if plain else "=..."
        if each.kind is each.KEYWORD_ONLY and "*" not in "".join(shown):
            shown.append("*")
        shown.append(("*" if each.kind is each.VAR_POSITIONAL else "") + each.name + default)
    return f"{name}({', '.join(shown)})"


def _markdown(docstring):
    """The docstring with its sections (Args, Attributes, ...) as lists."""
    lines, section = [], False
    for line in docstring.splitlines():
        if re.fullmatch(r"[A-Z]\w+:", line):
            section = True
            lines += [f"**{line[:-1]}**", ""]
        elif section and (entry := re.fullmatch(r"    ((?! )[\w, ]+(?:\(.*?\))?): (.*)", line)):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        elif section and line.startswith("    "):
            lines.append(line.strip() if not line.startswith("     ") else f"  {line.strip()}")
        else:
            section = section and not line
            lines.append(line)
    return "\n".join(lines)


def page():
    """The text of docs/api.md; what several classes have from a base stands with the first."""
    parts, shown = [HEAD], {}
    for name, value in public_names():
        parts.append(f"## `{_signature(name, value)}`\n")
        docstrings = dict.fromkeys(map(_markdown, _docstrings(value)))
        firsts = {docstring: shown.setdefault(docstring, name) for docstring in docstrings}
        parts += [f"{docstring}\n" for docstring, first in firsts.items() if first == name]
        for other in dict.fromkeys(first for first in firsts.values() if first != name):
            parts.append(f"The rest is as of `{other}`.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
