"""The tables of prose pages and of the command line, made from records."""
