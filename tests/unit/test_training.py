"""How a training run goes, by the lines of its trainer."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.render.cells import line_text
from console.render.training import KEPT, Progress, Training, read_line, training_line
from console.render.view import View
from console.store import Store

LINES = {
    "huggingface dictionary": (
        "{'loss': 2.3451, 'grad_norm': 1.234, 'learning_rate': 4.9e-05, 'epoch': 0.02}",
        Progress(loss=2.3451),
    ),
    "huggingface bar": (
        " 12%|█▏        | 120/1000 [02:00<14:40,  1.00s/it]",
        Progress(step=120, steps=1000, step_s=1.0, left_s=880.0),
    ),
    "lightning": (
        "Epoch 0:  10%|█         | 10/100 [00:05<00:45, 2.00it/s, v_num=1, train_loss=0.731]",
        Progress(step=10, steps=100, loss=0.731, step_s=0.5, left_s=45.0),
    ),
    "nemo": (
        "Training epoch 0, iteration 10/999 | lr: 1e-06 | global_batch_size: 512 | global_step: 10 | "
        "reduced_train_loss: 11.03 | train_step_timing in s: 9.3 | consumed_samples: 5632",
        Progress(step=10, steps=999, loss=11.03, step_s=9.3),
    ),
    "megatron": (
        " [2026-11-23 22:57:08] iteration      100/  500000 | consumed samples:        25600 | "
        "elapsed time per iteration (ms): 1234.5 | learning rate: 1.000000E-05 | global batch size:   256 | "
        "lm loss: 1.023456E+01 | loss scale: 1.0 | grad norm: 1.234 | number of skipped iterations:   0 |",
        Progress(step=100, steps=500000, loss=10.23456, step_s=1.2345),
    ),
    "torchtitan": (
        "[titan] 2026-11-23 22:57:08,123 - root - INFO - step: 1,210  loss:  7.1234  grad_norm:  1.2  "
        "memory: 40.00GiB(50.2%)  tps: 5,123  tflops: 300.12  mfu: 30.34%",
        Progress(step=1210, loss=7.1234, tokens_per_s=5123.0),
    ),
    "deepspeed": (
        "steps: 10 loss: 2.3456 iter time (s): 1.230 samples/sec: 104.065",
        Progress(step=10, loss=2.3456, step_s=1.23),
    ),
    "huggingface 5 dictionary": (
        "{'loss': '2.345', 'grad_norm': '1.234', 'learning_rate': '4.9e-05', 'epoch': '0.02'}",
        Progress(loss=2.345),
    ),
    "lightning, several losses": (
        "Epoch 3:  50%|█████     | 50/100 [00:25<00:25,  1.98it/s, v_num=0, train_loss_step=0.731, val_loss=0.9]",
        Progress(step=50, steps=100, loss=0.731, step_s=1 / 1.98, left_s=25.0),
    ),
    "lightning, rich": (
        "Epoch 0/9  ━━━━━━━╸━━━━━━━━ 10/100 0:00:05 • 0:00:45 2.00it/s v_num: 1.000 train_loss: 0.731",
        Progress(step=10, steps=100, loss=0.731, step_s=0.5, left_s=45.0),
    ),
    "nemo 1": (
        "Epoch 0: :   1%|▏  | 100/10000 [01:00<1:39:00, v_num=x, reduced_train_loss=9.870, global_step=99.00, "
        "consumed_samples=25600.0, train_step_timing in s=0.600]",
        Progress(step=99, steps=10000, loss=9.87, step_s=0.6, left_s=5940.0),
    ),
    "megatron with throughput": (
        " [2026-11-23 22:57:08] iteration       10/     100 | consumed samples:         1280 | elapsed time per iteration "
        "(ms): 850.0 | throughput per GPU (TFLOP/s/GPU): 412.5 | learning rate: 1.5E-05 | global batch size:   128 | "
        "lm loss: 9.5E+00 | load_balancing_loss: 1.002E+00 | loss scale: 1.0 |",
        Progress(step=10, steps=100, loss=9.5, step_s=0.85),
    ),
    "deepspeed engine": (
        "[2026-11-23 22:57:08,123] [INFO] [logging.py:96:log_dist] [Rank 0] step=40, skipped=0, lr=[1e-05], "
        "mom=[(0.9, 0.999)]",
        Progress(step=40),
    ),
    "deepspeed timer": (
        "[2026-11-23 22:57:08,123] [INFO] [timer.py:260:stop] epoch=0/micro_step=40/global_step=10, "
        "RunningAvgSamplesPerSec=12.5, CurrSamplesPerSec=12.6, MemAllocated=10.1GB, MaxMemAllocated=20.2GB",
        Progress(step=10),
    ),
    "a time of arrival": (
        "Iter(train) step: 100 eta: 1 day, 2:03:04  time: 0.5  loss: 1.25",
        Progress(step=100, loss=1.25, left_s=86_400 + 2 * 3600 + 184.0),
    ),
    "plain": (
        "step 5000/19500 | loss 5.0838 | lr 1.268e-04 | grad norm 0.414 | 304232 tokens/s",
        Progress(step=5000, steps=19500, loss=5.0838, tokens_per_s=304232.0),
    ),
    "diverged": ("step: 7 loss: nan", Progress(step=7, loss=math.nan)),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_of_the_usual_trainers(name: str) -> None:
    text, wanted = LINES[name]
    found = read_line(text)
    assert found is not None
    for field in ("step", "steps", "tokens_per_s", "left_s"):
        assert getattr(found, field) == getattr(wanted, field), field
    assert found.step_s == pytest.approx(wanted.step_s)
    assert found.loss == pytest.approx(wanted.loss, nan_ok=True)


@pytest.mark.parametrize(
    "text",
    [
        "", "Loading checkpoint shards", "closed the connection", "lossless compression step", "step by step",
        "INFO: waiting for step 5", "glossary: 5", "packet loss 5.0% at step 3", "loss of 5.0 watts", "download:  10%", "iter", "loss scale",
    ],
)  # fmt: skip
def test_other_lines_say_nothing(text: str) -> None:
    assert read_line(text) is None


@given(st.text(max_size=300))
def test_no_line_hurts(text: str) -> None:
    training = Training()
    training.take(f"{text} loss: {text}")
    training.take(f"step {text} loss= {text} {text}%|")


def test_a_hostile_line_takes_no_time() -> None:
    training = Training()
    for text in ("loss:" * 200_000, "step " + "1," * 200_000, "9" * 100_000 + "%|" * 100_000, "loss: " + "1" * 4000):
        training.take(text)
    assert training.last.loss is None or training.last.loss > 0


def test_a_run_keeps_its_whole_curve_and_its_last_values() -> None:
    training = Training()
    for step in range(10 * KEPT):
        training.take(f"step: {step}/{20 * KEPT} loss: {10 - step / 1000} iter time (s): 0.5")
    assert training.losses[0] == 10
    assert training.losses[-1] == pytest.approx(10 - 10 * KEPT / 1000, abs=0.05)
    assert KEPT // 4 <= len(training.losses) <= KEPT
    assert training.last.left_s == (20 * KEPT - (10 * KEPT - 1)) * 0.5
    line = line_text(training_line(View(Store(), 0.0), training, 120))
    assert f"step {10 * KEPT - 1:,}/{20 * KEPT:,}" in line
    assert "loss 4.881" in line
    assert "█" in line
    assert "▁" in line
    training.take("step: 9999 loss: nan")
    assert training.broken
    assert training_line(View(Store(), 0.0), training, 120)[1].style == "bad"
    assert all(math.isfinite(loss) for loss in training.losses)


def test_nothing_recognised_is_nothing_shown() -> None:
    assert training_line(View(Store(), 0.0), Training(), 80) == ()
