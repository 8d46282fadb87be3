"""Workers on other machines: where they connect to, and what the pool sees of them."""
