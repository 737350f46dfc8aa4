"""A hundred thousand calls keep no memory, neither good ones nor errors: ten thousand of every way into the kernels."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CALLS = 10_000  # of every kind; more than a hundred thousand in all
COMPOSED_CALLS = 1_000  # of functions that call the others, at ten times the time
ALLOWED = 400_000  # bytes of resident memory for one kind: a third of what the smallest array a call would take
ALLOWED_IN_ALL = 1_000_000
TIMEOUT = 300

# In a process of its own, whose memory nothing else changes. The rows are read through buffers of the kernels' own.
PROGRAM = """
import contextlib, json, os, sys
import numpy as np
import klfast
from klfast import distill, gaussian, logits, rlhf

random = np.random.default_rng(0)
row, other = random.random((2, 40)) + 0.01
table = np.asfortranarray(random.normal(size=(3, 20)).astype(">f4"))
second, chosen, out = table * 0.9, random.random((3, 20)) < 0.8, np.empty(3)
ids = np.array([0, 5, 19])
top = distill.topk(table, 3)

def error(function, *arguments, **options):
    with contextlib.suppress(ValueError, TypeError, IndexError):
        function(*arguments, **options)
        sys.exit("no error")

CALLS = {
    "a vector": lambda: klfast.kl_divergence(row, other),
    "rows": lambda: logits.kl_divergence(table, second, where=chosen, out=out),
    "elements": lambda: klfast.rel_entr(row, other),
    "terms": lambda: rlhf.kl_estimate(table, second, "k3", chosen, reduction="sum"),
    "terms of ragged rows": lambda: rlhf.kl_estimate(row, other, lengths=[10, 30], reduction="token_mean"),
    "the largest": lambda: distill.topk(table, 3),
    "a gradient": lambda: logits.kl_divergence_grad(table, second, wrt="both", where=chosen),
    "labels": lambda: logits.cross_entropy(table, ids),
    "an error of shapes": lambda: error(klfast.kl_divergence, row, table),
    "an error of types": lambda: error(klfast.entropy, "abc"),
    "an error of values": lambda: error(klfast.entropy, -row, check=True),
    "an error of classes": lambda: error(logits.cross_entropy, table, ids + 1),
}
COMPOSED = {
    "bfloat16": lambda: klfast.entropy(np.full((2, 9), 0x3F80, np.uint16), dtype="bfloat16"),
    "Gaussians": lambda: gaussian.kl_standard_normal_value_and_grad(table, second),
    "lists": lambda: distill.topk_kl_value_and_grad(top.logprobs, top.ids, table),
    "targets with weights": lambda: logits.cross_entropy_value_and_grad(table, chosen * 1.0, label_smoothing=0.1),
    "a mixture": lambda: klfast.js_divergence(np.stack([row, other]), weights=[1, 2]),
    "rows of two models": lambda: logits.compare_rows(table, second, ids),
    "rewards": lambda: rlhf.shaped_rewards(np.ones(3), table, second, 0.1, chosen),
}

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

def growth(call, count):
    before = resident()
    for _ in range(count):
        call()
    return resident() - before

calls, composed_calls = map(int, sys.argv[1:3])
if sys.argv[3:]:  # what a leak would look like
    kept = []
    CALLS = {"a leak": lambda: kept.append(klfast.entropy(np.ones((2, 3))))}
    COMPOSED = {}
counts = dict.fromkeys(CALLS, calls) | dict.fromkeys(COMPOSED, composed_calls)
for name, call in (CALLS | COMPOSED).items():  # first, so that every buffer is there, and every cache full
    growth(call, counts[name] // 5)
grown = {name: growth(call, counts[name]) for name, call in (CALLS | COMPOSED).items()}
print(json.dumps(grown))
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="needs a system that tells resident memory"
)


def growths(*arguments):
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_no_call_keeps_memory():
    grown = growths(CALLS, COMPOSED_CALLS)
    assert len(grown) == 19
    assert {name: size for name, size in grown.items() if size > ALLOWED} == {}
    assert sum(grown.values()) < ALLOWED_IN_ALL


def test_a_leak_would_be_seen():
    assert growths(CALLS, 0, "leak")["a leak"] > ALLOWED
