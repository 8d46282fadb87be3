"""Tensors of the open inference protocol as bytes and as Python values, for both sides of the process border. PURE."""
