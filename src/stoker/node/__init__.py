"""The agent that runs beside each worker on another machine, and the cache of models' files there."""
