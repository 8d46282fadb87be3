"""Workers on other machines: the listener that they connect to, and their processes as the pool sees them."""
