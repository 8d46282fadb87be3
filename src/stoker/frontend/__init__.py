"""The listeners. They depend on protocols and `core.ports`, and not on what answers behind the ports."""
