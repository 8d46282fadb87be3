"""``python -m workflow_archiver``: the same as ``torch-workflow-archiver``."""

import sys

from stoker.cli.workflow_archiver import main

sys.exit(main())
