"""`ts.metrics.metric_collector` is `stoker.worker.metrics_system`; run as a script it prints the figures."""

if __name__ == "__main__":
    from stoker.worker.metrics_system import main

    main()
else:
    from ts._alias import alias

    alias(__name__, "stoker.worker.metrics_system")
