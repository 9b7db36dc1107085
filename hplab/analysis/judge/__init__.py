"""Judging anybody's runs by the rules that the book's claims are judged by."""
