"""Request envelopes: translate a body format to a handler's input, and its output back."""
