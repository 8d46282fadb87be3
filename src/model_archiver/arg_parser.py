"""The archiver's flags, for scripts that read them themselves."""

from __future__ import annotations

import argparse

from stoker.cli import archiver


class ArgParser:
    @staticmethod
    def export_model_args_parser() -> argparse.ArgumentParser:
        return archiver.make_parser()
