"""The chart, rendered by helm and validated against Kubernetes' own schemas."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_kit import CHART, of_kind, render, tool

from stoker.config.properties import parse

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
    return dict(line.split("=", 1) for line in config_file(documents).splitlines())


def config_file(documents: list[dict[str, Any]]) -> str:
    (config,) = [d for d in documents if d["kind"] == "ConfigMap" and "config.properties" in d["data"]]
    return str(config["data"]["config.properties"])


def refusal(*options: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render(*options)
    return str(refused.value.stderr)


ODD = """
fullnameOverride: "123"
nameOverride: "true"
imagePullSecrets: [{name: "1"}]
models: {load: "a.mar, b=c.mar", existingClaim: "42", subPath: "a b: #c"}
tokens: {existingSecret: "007"}
tls: {secretName: "null"}
priorityClassName: "yes"
runtimeClassName: "1e3"
config:
  max_request_size: 65535000
  cors_allowed_origin: 'https://a.example: #x "q" {{ not }}'
  models: |
    {
      "m": {"1.0": {"minWorkers": 1}}
    }
env: [{name: A, value: "x: {y}"}]
envFrom: []
podLabels: {app.kubernetes.io/name: mine, team: "1"}
podAnnotations: {checksum/config: no-such, a/b: "c: d # e"}
metrics: {podMonitor: true, rules: true, labels: {app.kubernetes.io/instance: prometheus}}
autoscaling: {kind: keda, prometheusAddress: "http://u:p@h:9090/a b#c"}
podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}
serviceAccount: {name: "12"}
"""


def validate(documents: list[dict[str, Any]], folder: Path) -> None:
    known = [each for each in documents if each["kind"] not in WITHOUT_SCHEMA]
    (folder / "all.yaml").write_text(yaml.safe_dump_all(known))
    done = subprocess.run(
        [tool("kubernetes-validate"), "--strict", folder / "all.yaml"], capture_output=True, text=True, timeout=60
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert output.count("passed") == len(known), output
    assert "WARN" not in output


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
    validate(render("--set", values), tmp_path)


def test_values_that_yaml_could_mistake_for_others_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(ODD)
    documents = render("--values", str(tmp_path / "odd.yaml"))
    validate(documents, tmp_path)
    deployment = of_kind(documents, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    assert labels["team"] == "1"
    assert deployment["template"]["metadata"]["annotations"]["checksum/config"] != "no-such"
    pod = deployment["template"]["spec"]
    assert (pod["priorityClassName"], pod["runtimeClassName"], pod["serviceAccountName"]) == ("yes", "1e3", "12")
    assert {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v} == {"007", "null"}
    assert of_kind(documents, "PodMonitor")["metadata"]["labels"]["app.kubernetes.io/instance"] == "prometheus"
    read = {each.key: each.value for each in parse(config_file(documents), file="config.properties")}
    assert read["cors_allowed_origin"] == 'https://a.example: #x "q" {{ not }}'
    assert json.loads(read["models"]) == {"m": {"1.0": {"minWorkers": 1}}}


def test_openshift_may_choose_the_user() -> None:
    nulls = "podSecurityContext.runAsUser=null,podSecurityContext.runAsGroup=null,podSecurityContext.fsGroup=null"
    context = of_kind(render("--set", nulls), "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert context["runAsNonRoot"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(context)


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
    assert "more than autoscaling.maxReplicas" in refusal("--set", "autoscaling.minReplicas=20")
    assert "podLabels/team" in refusal("--set", "podLabels.team=1")
    assert "does not match pattern" in refusal("--set", "config.job queue=1")


def test_every_port_of_a_service_names_its_protocol() -> None:
    """A server-side apply, which helm 4 does, merges ports by number and protocol; older API servers want both."""
    services = [each for each in render("--set", "management.expose=true") if each["kind"] == "Service"]
    assert len(services) == 2
    assert {port["protocol"] for each in services for port in each["spec"]["ports"]} == {"TCP"}
