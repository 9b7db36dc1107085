"""The kinds of claim, a class each, by what kind of number decides."""
