"""What every package needs beside images: errors, files, locks, tables, console, processes and devices."""
