"""From declared trials to records and tables of runs; what is missing is trained."""
