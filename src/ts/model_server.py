"""`ts.model_server` is `stoker.cli.torchserve`, also as ``python -m ts.model_server``."""

import sys

from ts._alias import alias

if __name__ == "__main__":
    from stoker.cli.torchserve import main

    sys.exit(main())

alias(__name__, "stoker.cli.torchserve")
