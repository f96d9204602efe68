"""The report of a run: for the terminal, for people (Markdown and HTML) and for programs (JSON)."""
