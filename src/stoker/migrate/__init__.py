"""What would change for a TorchServe deployment that moves over: read only, nothing of an archive is executed."""
