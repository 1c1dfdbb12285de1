"""Whatever the description of the API allows is asked; what is answered must be described."""

from pathlib import Path
from typing import Any

import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from retrieval import Library
from retrieval.web.app import application
from retrieval.web.state import Site
from tests.retrieval.web.conftest import ADDRESS, shown

EXAMPLES = 12  # of each operation
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


schema = schemathesis.openapi.from_dict(application(Site(Library(Path("none")))).openapi())


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_described(case: Any, client: TestClient, site: Site) -> None:
    asked = case.as_transport_kwargs(base_url=ADDRESS, headers=shown(site))
    asked.pop("cookies")  # there are none, and saying so is deprecated
    body = asked.pop("data", None)
    case.validate_response(client.request(content=body, **asked), checks=CHECKS)
