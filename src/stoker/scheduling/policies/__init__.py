"""Batching policies, which decide which waiting job goes to which worker, and when.  PURE.

Each policy has a file of its own and implements `policies.policy`; `policy_of` chooses the one for a model.
"""

from __future__ import annotations

from stoker.core.model import ModelSpec
from stoker.scheduling.policies.adaptive import AdaptivePolicy
from stoker.scheduling.policies.asynchronous import AsyncPolicy
from stoker.scheduling.policies.continuous import ContinuousPolicy
from stoker.scheduling.policies.continuous_sequence import ContinuousSequencePolicy
from stoker.scheduling.policies.fixed import FixedPolicy
from stoker.scheduling.policies.policy import Policy
from stoker.scheduling.policies.sequence import SequencePolicy

__all__ = ["Policy", "policy_of"]


def policy_of(spec: ModelSpec) -> Policy:
    if spec.sequences is not None:
        return (ContinuousSequencePolicy if spec.continuous else SequencePolicy)(spec, spec.sequences)
    if spec.async_jobs:
        return AsyncPolicy(spec)
    if spec.continuous:
        return ContinuousPolicy(spec)
    if spec.batching == "fixed" or not spec.sends_ahead:
        return FixedPolicy(spec)
    return AdaptivePolicy(spec)
