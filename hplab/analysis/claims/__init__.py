"""The claims of the reports: what they say, and what runs say about them."""
