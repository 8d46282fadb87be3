"""``python -m stoker``: the same as ``stoker``."""

import sys

from stoker.cli.stoker import main

sys.exit(main())
