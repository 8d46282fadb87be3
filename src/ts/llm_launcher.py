"""`ts.llm_launcher` is `stoker.cli.llm_launcher`, also as ``python -m ts.llm_launcher``."""

import sys

from ts._alias import alias

if __name__ == "__main__":
    from stoker.cli.llm_launcher import main

    sys.exit(main())

alias(__name__, "stoker.cli.llm_launcher")
