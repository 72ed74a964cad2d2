"""A report as Markdown: tables that GitHub and plain eyes read, figures as links."""

from lightprune.rendering.document import Block, Bullets, Document, Figure, Table, Text, is_numeric


def markdown(document: Document) -> str:
    """The whole report."""
    parts = [f"# {document.title}"]
    for section in document.sections:
        parts.append(f"## {section.title}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def table(content: Table) -> str:
    """One table."""
    rules = ["---:" if is_numeric(content, i) else "---" for i in range(len(content.columns))]
    rows = [content.columns, tuple(rules), *content.rows]
    return "\n".join(f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows)


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return block.words
    if isinstance(block, Bullets):
        return "\n".join(f"- {item}" for item in block.items)
    if isinstance(block, Table):
        return table(block)
    assert isinstance(block, Figure)
    return f"![{_plain(block.title)}](figures/{block.name}.svg)\n\n*{block.title}.* {block.caption}"


def _plain(cell: str) -> str:
    """A cell that does not end its column."""
    return cell.replace("|", "\\|").replace("\n", " ")
