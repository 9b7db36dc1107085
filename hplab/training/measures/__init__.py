"""What can be measured on a network: in the loop, after an epoch, at the end."""
