"""Who works on the simulated cluster, on what, and under which names: data and the drawing of names."""

from __future__ import annotations

import random

import msgspec

USERS = (
    ("mrossi", "llm-pretrain"), ("akumar", "llm-pretrain"), ("lchen", "llm-pretrain"),
    ("svc-train", "llm-pretrain"),
    ("jdoe", "vision"), ("yamamoto", "vision"), ("obrien", "vision"), ("f.garcia", "vision"),
    ("knovak", "speech"), ("iivanova", "speech"), ("thuynh", "speech"),
    ("bschmidt", "bio-foldings"), ("pmensah", "bio-foldings"), ("elopez2", "bio-foldings"),
    ("wzhang17", "robotics"), ("hjohansson", "robotics"), ("aelsayed", "robotics"),
    ("ci-bot", "infra"), ("rpatel", "infra"), ("gmoreau", "alignment"), ("nokafor", "alignment"),
    ("skowalska", "alignment"), ("dkim", "recsys"), ("tbianchi", "recsys"), ("student042", "teaching"),
    ("student117", "teaching"), ("vpopescu", "climate"), ("mhaddad", "climate"), ("ejorgensen", "climate"),
    ("c.vandenberg", "quantum-chem"),
)  # fmt: skip
"""(user, account)."""

ADMINS = ("root", "slurm", "ops-anna", "ops-kenji", "healthcheck")

DRAIN_REASONS = (
    "bad fan 7, ticket OPS-4412",
    "PSU2 lost input, waiting for vendor",
    "firmware update NIC 3",
    "DIMM B4 correctable errors over threshold",
    "NVLink CRC errors on GPU 2, RMA 88120",
    "reseat OSFP on mlx5_5",
    "Wärmetauscher Reihe C undicht",
    "kernel 5.14.0-503 rollout",
    "/raid full",
)

MODELS = (
    "llama3-8b",
    "llama3-70b",
    "mixtral-8x22b",
    "qwen2.5-32b",
    "gemma2-27b",
    "vit-g14",
    "whisper-l",
    "esm3",
)

_TRAIN = (
    "pretrain-{model}-v{n}",
    "{model}_cpt_{date}",
    "megatron-{model}-tp8-pp{k}",
    "moe-scaling-{n}",
    "nemotron_{model}_phase{k}",
    "{model}-longctx-128k-stage{k}-dp{n}-tp8-pp4-seq131072-bf16-fp8-recompute-selective",
    "训练-{model}-中文",
    "обучение_{model}",
)
_TUNE = (
    "sft-{model}-{date}",
    "dpo_{model}_beta0.{k}",
    "lora-{model}-r{n}",
    "grpo-{model}-math",
    "rlhf_{model}",
    "モデル比較_{model}",
    "finetune {model} (Größe {n})",
)
_SWEEP = (
    "sweep-{model}",
    "hydra_lr=3e-4,wd=0.{k},bs={n},warmup=2000,model={model},seq=8192,opt=adamw,sched=cosine,seed={n}",
    "optuna-{model}-{n}",
    "ablation_{n}",
    "αβ-sweep-{k}",
)
_SMALL = (
    "eval-{model}",
    "lm-eval-{model}-mmlu",
    "bash",
    "interactive",
    "test",
    "nccl-tests",
    "job.sh",
    "été_{n}",
)
_SERVE = ("vllm-{model}", "serve-{model}-prod", "sglang_{model}", "embedding-api-{k}")
_NOTES = ("jupyter", "spawner-jupyterhub", "vscode-tunnel", "sys/dashboard/sys/bc_jupyter", "notebook 📓 {k}")


class Profile(msgspec.Struct, frozen=True, gc=False):
    """A kind of work: how large, how long, how it loads what it holds."""

    name: str
    queue: str
    qos: str
    weight: float
    """Relative share of submissions to its pool."""
    gpus: tuple[int, ...]
    """Sizes to draw from: GPUs on one node, or, when `whole`, numbers of whole nodes."""
    whole: bool
    seconds: tuple[float, float]
    """Shortest and longest run."""
    stems: tuple[str, ...]
    array: bool = False
    command: str = "python"


PROFILES = (
    Profile("pretrain", "train", "high", 1.0, (8, 16, 16, 32, 64), True, (7200, 90000), _TRAIN, command="torchrun"),
    Profile("finetune", "train", "normal", 5.0, (1, 2, 2, 4, 4, 8), True, (1200, 20000), _TUNE, command="torchrun"),
    Profile("burst", "train", "normal", 1.5, (1, 1, 2), True, (60, 900), _SMALL),
    Profile("pretrain", "h200", "high", 1.0, (4, 8, 16, 32), True, (7200, 90000), _TRAIN, command="torchrun"),
    Profile("finetune", "h200", "normal", 4.0, (1, 2, 4, 4), True, (1200, 20000), _TUNE, command="accelerate"),
    Profile("sweep", "shared", "normal", 3.0, (1, 1, 1, 2, 4), False, (400, 9000), _SWEEP, array=True),
    Profile("eval", "shared", "low", 4.0, (1, 2, 4, 8), False, (120, 3600), _SMALL),
    Profile("inference", "inference", "high", 1.0, (1, 2, 4, 8), False, (20000, 300000), _SERVE, command="vllm"),
    Profile("notebook", "interactive", "low", 2.0, (1, 1, 1, 2), False, (1800, 28000), _NOTES, command="ipykernel"),
)

REASONS = (
    ("Priority", 0.70),
    ("QOSMaxGRESPerUser", 0.08),
    ("AssocGrpGRES", 0.04),
    ("QOSMaxJobsPerUserLimit", 0.03),
    ("Dependency", 0.05),
    ("BeginTime", 0.03),
    ("JobHeldUser", 0.03),
    ("JobHeldAdmin", 0.01),
    ("Licenses", 0.01),
    ("ReqNodeNotAvail, UnavailableNodes:", 0.02),
)
"""Why a job waits, and how often; all but the first keep it from being considered at all, for a time."""


def names_of(profile: Profile, rng: random.Random, count: int = 40) -> tuple[str, ...]:
    """Return names that jobs of this profile carry."""
    return tuple(
        rng.choice(profile.stems).format(
            model=rng.choice(MODELS),
            n=rng.randrange(1, 4096),
            k=rng.randrange(1, 10),
            date=f"2026{rng.randrange(101, 1129):04d}",
        )
        for _ in range(count)
    )
