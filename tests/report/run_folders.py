"""Run folders written by hand: the numbers of a report's tests are known beforehand."""

import csv
import json
from dataclasses import asdict

from lightprune.bench.backends import select_backends
from lightprune.bench.machine import Machine
from lightprune.bench.output_check import OutputCheck
from lightprune.bench.result import BenchResult
from lightprune.bench.startup import Startup, StartupSeconds
from lightprune.bench.timing import Timing
from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.report.discovery import BENCH, find_runs
from lightprune.report.findings import Findings
from lightprune.runs.identity import config_hash
from lightprune.runs.predictions import write_predictions
from lightprune.runs.record import DenseRecord, write_dense_record
from study.sparsity_sweep import NetworkSweep, SparsityLevel, SparsitySweep

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
# (weights, live, MACs a weight) by layer.
LAYERS = {"conv1.weight": (1000, 1000, 16), "layer4.conv2.weight": (9000, 1000, 1)}
# Of the epoch that was chosen, which need not be the last of the curve.
DENSE_VALIDATION, VALIDATION = 0.95, 0.94


def predictions(right, classes=10):
    """Labels and predictions: right where a flag says so."""
    labels = [i % classes for i in range(len(right))]
    wrong = [(label + 1) % classes for label in labels]
    pairs = zip(labels, wrong, right, strict=True)
    return labels, [label if ok else other for label, other, ok in pairs]


def layer_costs(layers, live_nnz, unreachable_nnz):
    """Counts with as many weights kept, shared out by size."""
    live_total = sum(live for _, live, _ in layers.values())
    unreachable_total = sum(weights - live for weights, live, _ in layers.values()) or 1
    costs = {}
    for name, (weights, live, positions) in layers.items():
        nonzero = live_nnz * live // live_total
        unreachable = unreachable_nnz * (weights - live) // unreachable_total
        macs = (weights * positions, (nonzero + unreachable) * positions, nonzero * positions)
        costs[name] = LayerCost(weights, live, nonzero + unreachable, nonzero, *macs)
    return costs


def config(
    *,
    scope="global",
    criterion="Magnitude",
    exponent=None,
    weights="keep",
    unreachable="rank",
    schedule="OneShot",
    sparsity=0.98,
    seed=0,
    epochs=(22, 8),
    peak=0.1,
    restart="event",
    regrowth=None,
    channels=None,
):
    """What run.json keeps of a config, as far as reports read it."""
    node = {"_target_": f"lightprune.pruning.{criterion}"}
    if exponent is not None:
        node["exponent"] = exponent
    pruner = {
        "targets": {"types": ["Conv2d"]},
        "criterion": node,
        "scope": scope,
        "unreachable": unreachable,
        "weights": weights,
        "regrowth": regrowth,
        "seed": seed,
    }
    phases = zip(("dense", "finetune"), epochs, strict=True)
    phase = {"peak": peak, "batch_size": 256}
    recipe = {name: {"epochs": n, **phase} for name, n in phases}
    recipe["finetune"]["restart"] = restart
    model = {"_target_": "lightprune.models.Model"}
    if channels:
        made = {"_target_": "lightprune.models.slim_network", "channels": channels}
        model["constructor"] = made
    return {
        "model": model,
        "data": {"validation": 5000},
        "recipe": recipe,
        "pruner": pruner if scope else {"targets": pruner["targets"]},
        "schedule": {"_target_": f"lightprune.pruning.{schedule}", "sparsity": sparsity},
        "trainer": {"precision": "32-true"},
        "seed": seed,
    }


def findings_of(folder):
    """What a report would be made from; dense networks lie in `folder/dense`."""
    return Findings(find_runs(folder, folder / "dense"))


def timings(ms, combinations=((1, 1), (1, 64), (2, 1), (2, 64))):
    """So many milliseconds an image of each backend, by its name; half of it with two threads."""
    return tuple(
        Timing(backend, threads, batch, 9, 1e-3 * each * batch / threads, 2e-3 * each * batch)
        for threads, batch in combinations
        for backend, each in ms.items()
    )


SAME_OUTPUTS = (OutputCheck("sparse", 20, 10, 1, 1, 2e-6),)


def make_bench(
    folder,
    record,
    *,
    ms,
    processor="CPU",
    combinations=((1, 1), (1, 64), (2, 1), (2, 64)),
    runtime_macs=1,
    output_checks=SAME_OUTPUTS,
):
    """Writes what `lightprune bench` leaves in the folder of a run with this record."""
    start = StartupSeconds(2.0, 0.1, 0.5)
    result = BenchResult(
        path=str(folder),
        command="lightprune bench",
        commit="fedcba9876543210",
        versions={"torch": "2.14.1"},
        machine=Machine(processor, 2, 16, "Linux"),
        cost=LayerCost(**record["cost"]),
        runtime_macs=runtime_macs,
        startup=Startup(start, start),
        sizes={"sparse, fp32": 100},
        evaluation_images="test images",
        backends={b.name: b.label for b in select_backends(",".join(ms))},
        skipped={},
        timings=timings(ms, combinations),
        output_checks=output_checks,
    )
    (folder / BENCH).parent.mkdir()
    (folder / BENCH).write_text(result.to_json())
    return result


def speed_ups(**networks):
    """As of the benchmark: ms an image in the sparse runtime by sparsity; 1 ms dense."""
    return SparsitySweep(
        command="python benchmarks/speedup.py",
        commit="fedcba9876543210",
        versions={},
        machine=Machine("CPU", 2, 16, "Linux"),
        networks=tuple(
            NetworkSweep(
                name,
                "fresh weights",
                tuple(
                    SparsityLevel(
                        sparsity, sparsity / 2, 1 - sparsity, 1e-6, 3.0, timings({"sparse": ms})
                    )
                    for sparsity, ms in levels.items()
                ),
                timings({"eager": 1.5, "onnx": 1.0, "onnx-stripped": 0.5}),
            )
            for name, levels in networks.items()
        ),
    )


def make_run(
    folder,
    right,
    *,
    dense_right,
    config,
    layers=LAYERS,
    live_nnz=200,
    unreachable_nnz=0,
    fingerprint="f" * 64,
    classes=CIFAR10,
    events=None,
    users_weights=None,
    epochs_trained=None,
):
    """Writes a finished run, and its dense network's files into `folder.parent/dense`.

    With `users_weights`, the dense network is the user's, and those are its weights. Without
    `epochs_trained` the record is of a version that does not tell them.
    """
    seed, epochs = config["seed"], [config["recipe"][p]["epochs"] for p in ("dense", "finetune")]
    key = f"dense{seed}-{epochs[0]}-{fingerprint[:4]}"
    costs = layer_costs(layers, live_nnz, unreachable_nnz)
    total = sum(costs.values(), LayerCost(0, 0, 0, 0, 0, 0, 0))
    if events is None:
        events = [event(0, total.sparsity, total.live_sparsity)] if total.sparsity > 0 else []
    record = {
        "schema": 2,
        "config": config,
        "config_hash": config_hash(config),
        "command": f"train.py seed={seed}",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "versions": {"python": "3.11.7", "torch": "2.14.1"},
        "hardware": {"device": "cpu", "processes": 1, "threads": 2, "precision": "32-true"},
        "data": {
            "source": "ImageFolder",
            "fingerprint": fingerprint,
            "classes": list(classes),
            "train_images": 45000,
            "validation_images": 5000,
            "validation_is_test": False,
            "test_images": len(right),
        },
        "dense": {
            "source": "own.pt" if users_weights else "trained",
            "key": "" if users_weights else key,
            "weights_sha256": users_weights or key,
            "epochs": epochs[0],
            "seconds": 3000.4,
            "test_correct": sum(dense_right),
            "test_images": len(dense_right),
            "unreachable_weights": 0,
            "changed_without_unreachable": 0,
            "validation_accuracy": None if users_weights else DENSE_VALIDATION,
        },
        "best_epoch": epochs[1] - 1,
        "validation_accuracy": VALIDATION,
        "events": events,
        "test": {"correct": sum(right), "images": len(right), "loss": 0.5, "classes": []},
        "cost": asdict(total),
        "parameters": total.weights,
        "compression_prunable": 1.0,
        "compression_parameters": 1.0,
        "sizes": {"model.safetensors": 44_775_880},
        "seconds": {"dense": 3000.4, "finetune": 1200.6},
    }
    if epochs_trained is not None:
        record["epochs_trained"] = epochs_trained
    folder.mkdir(parents=True)
    write_predictions(folder / "predictions.csv", *predictions(right, len(classes)))
    if not users_weights:
        write_dense(
            folder.parent / "dense" / key, predictions(dense_right, len(classes)), epochs[0]
        )
    rows = [{"name": name, **asdict(cost)} for name, cost in costs.items()]
    write_rows(folder / "layers.csv", rows)
    write_rows(folder / "metrics.csv", metrics(epochs[1], events))
    (folder / "run.json").write_text(json.dumps(record))
    return record


def write_dense(folder, predicted, epochs):
    """What the cache keeps of a dense network."""
    write_predictions(folder / "predictions.csv", *predicted)
    labels, classes = predicted
    record = DenseRecord(
        source="trained",
        key=folder.name,
        test_correct=sum(a == b for a, b in zip(labels, classes, strict=True)),
        test_images=len(labels),
        unreachable_weights=0,
        changed_without_unreachable=0,
        weights_sha256=folder.name,
    )
    write_dense_record(folder / "dense.json", record)
    write_rows(folder / "metrics.csv", metrics(epochs, []))


def event(epoch, sparsity, live, *, before=0.8, after=0.1, recovered=0.79, digest="d", emptied=()):
    return {
        "epoch": epoch,
        "target": round(sparsity, 4),
        "sparsity": sparsity,
        "pruned": 1,
        "live_sparsity": live,
        "distance": 0.5,
        "before": before,
        "after": after,
        "recovered": recovered,
        "emptied": list(emptied),
        "digest": digest,
    }


def metrics(epochs, events):
    sparsity = events[-1]["sparsity"] if events else 0.0
    return [
        {"epoch": n, "sparsity": sparsity, "val_accuracy": 0.7 + 0.01 * n, "seconds": 150.0}
        for n in range(epochs)
    ]


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
