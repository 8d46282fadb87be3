"""The listeners. They know protocols and `core.ports`, and nothing of what answers behind them."""
