"""Networks, alone and many side by side as lanes of one stack."""
