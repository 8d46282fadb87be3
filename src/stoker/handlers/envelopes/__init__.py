"""Request envelopes: they translate a body format to what a handler takes, and its answer back."""
