"""``python -m model_archiver``: the same as ``torch-model-archiver``."""

import sys

from stoker.cli.archiver import main

sys.exit(main())
