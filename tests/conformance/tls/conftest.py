"""An operator's certificates."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from tls_servers import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path, trustme.CA(), trustme.CA())
    made.issue()
    made.clients.cert_pem.write_to_path(made.client_ca)
    return made
