"""What readers see: figures, tables, notebooks, and the site made of them."""
