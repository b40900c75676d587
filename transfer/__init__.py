"""The person's side: command line, recipes, the demo, reports."""

__all__: list[str] = []
