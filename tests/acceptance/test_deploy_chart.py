"""The chart, rendered by helm and validated against Kubernetes' own schemas."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_kit import CHART, of_kind, render, tool

WITHOUT_SCHEMA = {"PodMonitor", "PrometheusRule", "ScaledObject"}
"""Kinds of operators; the schemas of Kubernetes do not have them."""

EVERYTHING = (
    "tls.secretName=pair,tls.clientCA=true,models.existingClaim=models,models.subPath=a,management.expose=true,"
    "autoscaling.minReplicas=2,metrics.podMonitor=true,metrics.rules=true,metrics.dashboard=true,"
    "service.type=LoadBalancer,config.max_request_size=65535000,priorityClassName=high,"
    "ray.address=head:6379,ray.tokenSecret=cluster,networkPolicy.rayFrom[0].podSelector.matchLabels.role=ray"
)


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = of_kind(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def properties(documents: list[dict[str, Any]]) -> dict[str, str]:
    (config,) = [d for d in documents if d["kind"] == "ConfigMap" and "config.properties" in d["data"]]
    return dict(line.split("=", 1) for line in config["data"]["config.properties"].splitlines())


def refusal(*options: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render(*options)
    return str(refused.value.stderr)


def test_helm_finds_nothing_to_criticise() -> None:
    done = subprocess.run([tool("helm"), "lint", "--strict", CHART], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "values",
    [
        "",
        "tokens.disabled=true,networkPolicy.enabled=false,serviceAccount.create=false,probes.kind=grpc",
        f"{EVERYTHING},autoscaling.kind=hpa",
        f"{EVERYTHING},autoscaling.kind=keda",
    ],
    ids=["defaults", "little", "everything-hpa", "everything-keda"],
)
def test_kubernetes_accepts_every_document(values: str, tmp_path: Path) -> None:
    documents = render("--set", values)
    known = [each for each in documents if each["kind"] not in WITHOUT_SCHEMA]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(known))
    done = subprocess.run(
        [tool("kubernetes-validate"), "--strict", tmp_path / "all.yaml"], capture_output=True, text=True, timeout=60
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("passed") == len(known), said
    assert "WARN" not in said


def test_nothing_in_a_pod_is_privileged_or_writable_that_need_not_be() -> None:
    documents = render()
    pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert container(documents)["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_grace_period_covers_the_wait_and_the_drain() -> None:
    documents = render("--set", "preStopSeconds=7,drainSeconds=100")
    assert of_kind(documents, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 122
    assert container(documents)["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "7"]
    assert properties(documents)["drain_timeout"] == "100"


def test_the_management_api_stays_in_the_pod_unless_it_is_exposed() -> None:
    closed, opened = render(), render("--set", "management.expose=true")
    assert properties(closed)["management_address"] == "http://127.0.0.1:8081"
    assert properties(closed)["grpc_management_address"] == "127.0.0.1"
    assert len([each for each in closed if each["kind"] == "Service"]) == 1
    assert properties(opened)["management_address"] == "http://0.0.0.0:8081"
    rules = of_kind(opened, "NetworkPolicy")["spec"]["ingress"]
    assert "management" not in str(rules)  # nobody, until managementFrom names who


def test_a_pod_may_be_a_node_of_a_ray_cluster() -> None:
    """What becomes the container's first process gets SIGTERM and drains: it must be the server."""
    alone = render("--set", "networkPolicy.rayFrom=null")
    assert container(alone)["args"] == ["serve"]
    assert "worker_placement" not in properties(alone)
    peers = "networkPolicy.rayFrom[0].podSelector.matchLabels.role=ray"
    documents = render("--set", f"ray.address=head.ray:6379,ray.tokenSecret=cluster,{peers}")
    (command,) = container(documents)["args"]
    assert command.startswith("ray start --address=head.ray:6379 --num-cpus=0 ")
    assert "&& exec torchserve --start --foreground" in command
    env = {each["name"]: each for each in container(documents)["env"]}
    assert env["RAY_AUTH_MODE"]["value"] == "token"
    assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "cluster", "key": "auth_token"}
    assert properties(documents)["worker_placement"] == "ray"
    rules = of_kind(documents, "NetworkPolicy")["spec"]["ingress"]
    assert rules[-1] == {"from": [{"podSelector": {"matchLabels": {"role": "ray"}}}]}
    assert "address" in refusal("--set", "ray.address=head; id")


def test_probes_follow_the_listeners() -> None:
    plain = container(render())
    assert plain["livenessProbe"]["httpGet"] == {"path": "/live", "port": "http"}
    assert plain["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    assert container(render("--set", "probes.kind=grpc"))["readinessProbe"]["grpc"] == {"port": 7070}
    tls = container(render("--set", "tls.secretName=pair"))
    assert tls["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    mutual = container(render("--set", "tls.secretName=pair,tls.clientCA=true"))
    assert "httpGet" not in mutual["readinessProbe"]


def test_tokens_come_from_a_secret() -> None:
    documents = render("--set", "tokens.existingSecret=mine")
    assert not [each for each in documents if each["kind"] == "Secret"]
    (volume,) = [v for v in of_kind(documents, "Deployment")["spec"]["template"]["spec"]["volumes"] if "secret" in v]
    assert volume["secret"]["secretName"] == "mine"
    made = of_kind(render(), "Secret")["data"]
    assert set(made) == {"inference", "management"}
    assert made["inference"] != made["management"]


def test_large_numbers_stay_numbers_in_the_properties() -> None:
    assert properties(render("--set", "config.max_request_size=65535000"))["max_request_size"] == "65535000"
    assert properties(render("--set-string", "config.model_store=/other"))["model_store"] == "/other"


def test_a_scaler_owns_the_number_of_replicas() -> None:
    assert of_kind(render(), "Deployment")["spec"]["replicas"] == 1
    for kind in ("hpa", "keda"):
        assert "replicas" not in of_kind(render("--set", f"autoscaling.kind={kind}"), "Deployment")["spec"]


def test_values_that_do_not_go_together_are_refused() -> None:
    assert "needs a listener without TLS" in refusal("--set", "probes.kind=grpc,tls.secretName=pair")
    assert "tls.clientCA needs tls.secretName" in refusal("--set", "tls.clientCA=true")
    risky = "tokens.disabled=true,management.expose=true,management.modelApi=true"
    assert "lets everybody run code" in refusal("--set", risky)


def test_a_value_that_is_misspelt_is_refused() -> None:
    assert "replica" in refusal("--set", "replica=2")
    assert "minReplicas" in refusal("--set", "autoscaling.minReplicas=0")
