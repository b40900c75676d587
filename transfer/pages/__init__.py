"""The page: results in, one self-contained HTML file out.

Every kind of result has a module that turns it into the values of a template: a recipe and a trial, a run, several
runs, copies, and clusters. What they share: :mod:`.page` renders a template with its scripts, :mod:`.pictures` encodes
plots and thumbnails, :mod:`.charts` describes the interactive parts.
"""
