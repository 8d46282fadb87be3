"""Default handlers and what they share. Imports only core and the handler-facing part of the worker."""
