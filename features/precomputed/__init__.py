"""Features computed elsewhere: files of rows or of class means come in as banks, and banks go out as such files."""
