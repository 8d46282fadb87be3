"""The archiver's command line, for scripts that parse it themselves."""

from __future__ import annotations

import argparse

from stoker.cli import workflow_archiver


class ArgParser:
    @staticmethod
    def workflow_archiver_args_parser() -> argparse.ArgumentParser:
        return workflow_archiver.make_parser()
