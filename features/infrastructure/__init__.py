"""What all packages need: errors, files, locks, tables, options, catalogues, console, processes and devices."""
