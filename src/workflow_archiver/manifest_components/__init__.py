"""The parts of ``MANIFEST.json`` as objects."""
