"""Study notebooks: their text, their run, and whether it may be shown."""
