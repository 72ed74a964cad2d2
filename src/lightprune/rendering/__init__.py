"""Documents and figures, as Markdown, HTML and SVG; knows nothing of runs."""
