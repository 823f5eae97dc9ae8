"""Command lines: the console command, shared options, printing of errors."""
