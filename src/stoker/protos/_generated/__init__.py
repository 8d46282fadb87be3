"""Written by scripts/protos; do not edit."""
