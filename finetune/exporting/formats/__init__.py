"""One module a format of exported classifiers; each defines one :class:`finetune.exporting.format.ExportFormat` row."""
