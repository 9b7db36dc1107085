"""What stands in for `wandb` where a script of a sweep imports it and it is not installed."""
