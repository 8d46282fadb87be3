"""What the server tells its operator: logs now, metrics later."""
