"""The site: built from executed notebooks, and audited."""
