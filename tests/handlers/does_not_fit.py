def handle(data, context):
    if data is None:
        raise MemoryError("3 GB for the weights")
