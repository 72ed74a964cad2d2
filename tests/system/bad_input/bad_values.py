"""What may be wrong on the command line: overrides, and parts of the one line they must get."""

from importlib.util import find_spec
from pathlib import Path

from tests.system.tiny import __name__ as tiny

CONSTRUCTOR = f"model.constructor._target_={tiny}"
WEIGHTS = "model.constructor.weights=IMAGENET"
VIT = ["model=vit", "model.constructor._target_=lightprune.models.vit"]
RATE = "recipe.dense.learning_rate"
OPTIMIZER = "recipe.dense.optimizer"
TARGETS = "pruner.targets"
# What follows an error of the user's own code.
RAISED = (f"(raised at {Path(__file__).parents[1] / 'tiny.py'}:", "HYDRA_FULL_ERROR=1 shows")
STOPPING = "callbacks.early_stopping"

VALUES = {
    # Hydra's own grammar and groups
    "empty output folder": (["hydra.run.dir="], ["hydra.run.dir=: ", "the path of a folder"]),
    "override that is no override": (["pruner"], ["pruner: is no override", "KEY=VALUE"]),
    "two values": (["seed=1=2"], ["seed=1=2", "mismatched input", "'seed=\"1=2\"'"]),
    "number without a key": (["98"], ["98: is no override", "such as schedule.sparsity=0.98"]),
    "key without a value": (["schedule.sparsity"], ["schedule.sparsity: is no override"]),
    "path with an equals sign": (
        ["dense.checkpoint=a=b.ckpt"],
        ["dense.checkpoint=a=b.ckpt: cannot be read", "'dense.checkpoint=\"a=b.ckpt\"'\n"],
    ),
    "path of other letters": (
        ["dense.checkpoint=é.ckpt"],
        ["dense.checkpoint=é.ckpt: cannot be read", "'dense.checkpoint=\"é.ckpt\"'\n"],
    ),
    "path with brackets": (
        ["dense.checkpoint=a(1).ckpt"],
        ["dense.checkpoint=a(1).ckpt: cannot be read", "'dense.checkpoint=\"a(1).ckpt\"'\n"],
    ),
    "path with an apostrophe": (
        ["dense.checkpoint=it's.pt"],
        ["dense.checkpoint=it's.pt: cannot be read", """dense.checkpoint="it'"'"'s.pt"'\n"""],
    ),
    "unclosed interpolation": (
        ["schedule.sparsity=${"],
        ["schedule.sparsity=${: cannot be read", "grammar"],
    ),
    "values of a sweep without -m": (
        ["schedule.sparsity=0.9,0.95"],
        ["Ambiguous value", "schedule.sparsity=0.9,0.95", "--multirun"],
    ),
    "option of the program that does not exist": (["--sed"], ["unrecognized", "--sed", "--help"]),
    "config that does not exist": (["--config-name=trian"], ["Cannot find", "'trian'"]),
    "folder of configs that does not exist": (
        ["--config-dir=nowhere"],
        ["Additional config directory", "nowhere' not found; allowed is a folder"],
    ),
    "folder on the search path that does not exist": (
        ["hydra.searchpath=[file://nowhere]"],
        ["provider=hydra.searchpath", "nowhere is not available", "allowed is a folder"],
    ),
    "recipe that has been renamed": (
        ["recipe=study"],
        ["recipe=study: has been renamed", "recipe=reference"],
    ),
    "unknown option": (["pruner=globall"], ["pruner=globall", "global, local", "mean global?"]),
    "unknown logger": (["logger=tensorbord"], ["logger=tensorbord", "mean tensorboard?"]),
    "empty option": (["recipe="], ["recipe=", "fast, full"]),
    "number for an option": (
        ["recipe=5"],
        ["Config group override must be a string or a list", "recipe=5", "name of an option"],
    ),
    "null for an option": (
        ["logger=null"],
        [
            "Config group override must be a string or a list",
            "logger=null",
            "none is one of callbacks, logger and pruner",
        ],
    ),
    "option that has been renamed": (
        ["experiment=study_first_99_one_shot"],
        ["experiment=study_first_99_one_shot", "=reference_unreachable_first_99_one_shot\n"],
    ),
    "key that has been renamed": (
        ["pruner.dead_weights=first"],
        ["pruner.dead_weights: has been renamed", "pruner.unreachable"],
    ),
    "added key that has been renamed": (
        ["+pruner.dead_weights=first"],
        ["pruner.dead_weights: has been renamed", "pruner.unreachable"],
    ),
    "last part of a key": (["sparsity=0.9"], ["sparsity: no such key", "mean schedule.sparsity?"]),
    "key of another group": (
        ["pruner.sparsity=0.9"],
        ["pruner.sparsity: no such key", "mean schedule.sparsity?"],
    ),
    "key of two phases": (
        ["batch_size=8"],
        ["batch_size: no such key", "recipe.dense.batch_size or recipe.finetune.batch_size?"],
    ),
    "last part of a key, misspelt": (
        ["sparsty=0.9"],
        ["sparsty: no such key; allowed are model, data, ", "mean schedule.sparsity?"],
    ),
    "key by its usual name": (
        ["lr=0.1"],
        ["lr: no such key", "mean recipe.dense.learning_rate.peak or recipe.finetune.learning"],
    ),
    "last part of a group": (
        ["criterion=taylor"],
        ["criterion: no such key", "mean pruner/criterion?"],
    ),
    "option added to a group": (
        ["+experiment=demo"],
        ["+experiment=demo: adds to a group", "allowed is experiment=demo\n"],
    ),
    "option forced on a group": (
        ["++schedule=cubic"],
        ["++schedule=cubic: adds to a group", "allowed is schedule=cubic\n"],
    ),
    "option added to a group of groups": (
        ["+pruner=global"],
        ["+pruner=global: adds to a group", "allowed is pruner=global\n"],
    ),
    "criterion with a point": (
        ["pruner.criterion=taylor"],
        ["pruner.criterion=taylor: names an option", "allowed is pruner/criterion=taylor\n"],
    ),
    "regrowth with a point": (
        ["pruner.regrowth=gradient"],
        ["pruner.regrowth=gradient: names an option", "allowed is pruner/regrowth=gradient\n"],
    ),
    "targets with a point": (
        ["pruner.targets=all,conv"],
        ["pruner.targets=all,conv: names an option", "allowed is pruner/targets=all,conv\n"],
    ),
    "unknown key": (["pruner.scop=local"], ["pruner.scop", "no such key", "mean scope?"]),
    "unknown top-level key": (["sed=1"], ["sed", "no such key", "mean seed?"]),
    "unknown group": (["prunr=global"], ["prunr", "mean pruner?"]),
    "added key": (["+data.sise=8"], ["data", "unexpected keyword argument 'sise'"]),
    "added group": (["+callback=x"], ["callback: no such key; allowed are model, data, "]),
    "added top-level key": (["+sede=1"], ["sede: no such key", "mean seed?"]),
    "added key of the dense network": (
        ["+dense.chekpoint=a.pt"],
        ["dense.chekpoint: no such key; allowed are checkpoint, ", "mean checkpoint?"],
    ),
    # Settings that the chosen options never read
    "learning rate of the optimizer": (
        [f"{OPTIMIZER}.lr=5"],
        [f"{OPTIMIZER}.lr=5: is not read, ", f"allowed is {RATE}.peak=5"],
    ),
    "sparsity without a pruner": (
        ["pruner=none", "schedule.sparsity=0.9"],
        ["schedule.sparsity=0.9: is not read, since pruner=none", "pruner=global"],
    ),
    "folder of a sweep without a sweep": (
        ["hydra.sweep.dir=there"],
        ["hydra.sweep.dir=there: is not read without -m; allowed is hydra.run.dir"],
    ),
    "name beside a folder": (
        ["name=mine"],
        ["name=mine: is not read, since hydra.run.dir=", "allowed is one of them"],
    ),
    "recalibration without batch norms": (
        [f"{CONSTRUCTOR}.without_batch_norms", "recipe.finetune.recalibrate=2"],
        ["recipe.finetune.recalibrate=2: the network has no batch norm", "allowed is 0"],
    ),
    "interpolation to nothing": (
        ["schedule.sparsity=${nowhere}"],
        ["schedule.sparsity", "'nowhere' not found"],
    ),
    "interpolation by nothing": (
        ["schedule.sparsity=${nowhere:1}"],
        ["schedule.sparsity", "Unsupported interpolation type nowhere"],
    ),
    "interpolation to itself": (
        ["schedule.sparsity=${schedule.sparsity}"],
        ["schedule.sparsity", "Recursive interpolation"],
    ),
    "variable that is not set": (
        ["schedule.sparsity=${oc.env:LIGHTPRUNE_NOWHERE}"],
        ["schedule.sparsity", "LIGHTPRUNE_NOWHERE"],
    ),
    # The top level
    "seed of a wrong type": (["seed=abc"], ["seed", "'abc'", "Integer"]),
    "empty seed": (["seed="], ["seed", "''", "Integer"]),
    "list of seeds": (["seed=[0,1]"], ["seed", "'[0, 1]'", "Integer"]),
    "dict for a seed": (["seed={a:1}"], ["seed", "{'a': 1}", "Integer"]),
    "seed below zero": (["seed=-1"], ["seed=-1", "an integer in [0, 2.14748e+09]"]),
    "seed too large": (["seed=99999999999999"], ["seed=99999999999999", "[0, 2.14748e+09]"]),
    "word for a flag": (["force=perhaps"], ["force", "'perhaps'", "bool"]),
    "list for a name": (["name=[a]"], ["name", "['a']", "string"]),
    "number for a group of keys": (["dense=5"], ["dense", "5"]),
    # Schedule and pruner
    "scope": (["pruner.scope=layer"], ["pruner.scope=layer", "global, local"]),
    "sparsity of one": (["schedule.sparsity=1"], ["schedule.sparsity=1", "[0, 1)"]),
    "negative sparsity": (["schedule.sparsity=-0.1"], ["schedule.sparsity=-0.1", "[0, 1)"]),
    "sparsity that is a word": (["schedule.sparsity=high"], ["schedule.sparsity=high", "a number"]),
    "sparsity that is NaN": (["schedule.sparsity=nan"], ["schedule.sparsity=nan", "[0, 1)"]),
    "empty sparsity": (["schedule.sparsity="], ["schedule.sparsity=", "[0, 1)"]),
    "list of sparsities": (["schedule.sparsity=[0.5,0.9]"], ["schedule.sparsity=[0.5, 0.9]"]),
    "dict for a sparsity": (["schedule.sparsity={a:1}"], ["schedule.sparsity={'a': 1}"]),
    "sparsity that is a flag": (["schedule.sparsity=true"], ["schedule.sparsity=True", "[0, 1)"]),
    "sparsity and amount": (
        ["schedule.sparsity=0.9", "schedule.amount=0.3"],
        ["schedule.sparsity=0.9, schedule.amount=0.3", "exactly one"],
    ),
    "neither sparsity nor amount": (
        ["schedule.sparsity=null"],
        ["schedule.sparsity=None, schedule.amount=None", "exactly one of them"],
    ),
    "amount that is a word": (["schedule.amount=abc"], ["schedule.amount=abc", "a number"]),
    "amount of one": (["schedule.amount=1"], ["schedule.amount=1", "(0, 1)"]),
    "more events than epochs": (["schedule.steps=5"], ["schedule.steps=5", "finetune.epochs=4"]),
    "half an event": (["schedule.steps=2.5"], ["schedule.steps=2.5", "an integer"]),
    "infinitely many events": (["schedule.steps=1e400"], ["schedule.steps=inf", "an integer"]),
    "start after the end": (["schedule.start=4"], ["schedule.start=4", "finetune.epochs=4"]),
    "no steps between events": (
        ["schedule.every_n_steps=0"],
        ["schedule.every_n_steps=0: allowed is an integer at least 1"],
    ),
    "more steps between events than there are": (
        ["schedule=cubic", "schedule.every_n_steps=500"],
        ["schedule.start=0, schedule.every_n_steps=500: do not fit the 72 optimizer steps"],
    ),
    "tolerance of the test set": (
        ["schedule=until", "data.validation=test"],
        ["data.validation=test: schedule=until ends by the validation accuracy"],
    ),
    "until an accuracy that nothing measures": (
        ["schedule=until", "data.validation=none"],
        ["data.validation=none: schedule=until ends by the validation accuracy"],
    ),
    "stopping by an accuracy that nothing measures": (
        ["callbacks=early_stopping", "data.validation=none"],
        [f"{STOPPING}.monitor=val/accuracy: data.validation=none", "allowed are train/loss"],
    ),
    "tolerance with a last event": (
        ["schedule=until", "pruner.weights=reinitialise"],
        ["pruner.weights=reinitialise: acts at the last event", "schedule=until"],
    ),
    "drop above all": (["schedule=until", "schedule.drop=101"], ["schedule.drop=101", "[0, 100]"]),
    "movement without a step": (
        ["pruner/criterion=movement"],
        ["pruner.criterion=Movement", "schedule.start=1"],
    ),
    "rewinding beyond the dense training": (
        ["pruner.weights=rewind", "dense.rewind_epoch=3"],
        ["dense.rewind_epoch=3", "recipe.dense.epochs=2"],
    ),
    "rewinding weights from a file": (
        ["pruner.weights=rewind", "dense.checkpoint=/nowhere.pt"],
        ["dense.checkpoint=/nowhere.pt", "pruner.weights=rewind"],
    ),
    "span": (["schedule=cubic", "schedule.span=2"], ["schedule.span=2", "(0, 1]"]),
    "unreachable floor": (["pruner.floor=0.1"], ["pruner.floor=0.1", "leaves room"]),
    "unreachable weights": (
        ["pruner.unreachable=maybe"],
        ["pruner.unreachable=maybe", "rank, first"],
    ),
    "criterion": (["pruner.criterion=5"], ["pruner.criterion=5", "Criterion"]),
    "criterion of the user's own that raises": (
        [f"pruner.criterion._target_={tiny}.RaisingCriterion"],
        ["pruner.criterion: cannot be built (no such norm)", *RAISED],
    ),
    "schedule of the user's own that raises": (
        ["schedule=one_shot", f"schedule._target_={tiny}.RaisingSchedule"],
        ["list index out of range", *RAISED],
    ),
    "norm": (["pruner.criterion.norm=l7"], ["pruner.criterion.norm=l7", "l1, l2"]),
    "pattern that matches nothing": (
        [f"{TARGETS}.include=[layer9.*]"],
        [f"{TARGETS}.include=layer9.*", "matches no prunable weight", "layer1.0.conv1"],
    ),
    "override pattern that matches nothing": (
        ["pruner.sparsities=[[fc,0.5]]"],
        ["pruner.sparsities=fc", "matches no prunable weight"],
    ),
    "override that is no pair": (
        ["pruner.sparsities=[[fc]]"],
        ["pruner.sparsities=['fc']", "pairs"],
    ),
    "override above one": (["pruner.sparsities=[['*',2]]"], ["pruner.sparsities[*]=2", "[0, 1]"]),
    "layer type that does not exist": (
        [f"{TARGETS}.types=[Conv2D]"],
        [f"{TARGETS}.types=Conv2D", "mean Conv2d?"],
    ),
    "layer types that are no list": (
        [f"{TARGETS}.types=Conv2d"],
        [f"{TARGETS}.types=Conv2d", "list"],
    ),
    "layer type that the network lacks": (
        [f"{TARGETS}.types=[LSTM,Conv2d]"],
        [f"{TARGETS}.types=LSTM: contributes no prunable weight", "no such layer"],
    ),
    "layer type without a weight": (
        [f"{TARGETS}.types=[Conv2d,ReLU]"],
        [f"{TARGETS}.types=ReLU: contributes no prunable weight", "no parameter named weight"],
    ),
    "nothing but exclusions": ([f"{TARGETS}.exclude=['*']"], [TARGETS, "no prunable weight"]),
    # The network
    "no prunable weight": (
        [f"{CONSTRUCTOR}.without_convolutions"],
        [f"{TARGETS}.types=['Conv2d']", "no prunable weight"],
    ),
    "network that does not exist": ([f"{CONSTRUCTOR}.nothing"], ["model.constructor", "nothing"]),
    "network that cannot be built": (
        [f"{CONSTRUCTOR}.broken"],
        ["model.constructor=broken: no such network today", *RAISED],
    ),
    "constructor that builds no network": (
        ["model.constructor._target_=builtins.dict"],
        ["model.constructor=dict: returns a dict"],
    ),
    "number for a constructor": (
        ["model.constructor=5"],
        ["model.constructor=5", "_partial_: true"],
    ),
    "network instead of its constructor": (
        ["model.constructor._partial_=false"],
        ["model.constructor=TinyResNet", "_partial_: true"],
    ),
    "word for a flag of the model": (["model.compile=perhaps"], ["model.compile=perhaps", "true"]),
    "network that raises": (
        [f"{CONSTRUCTOR}.RaisesInForward"],
        ["model: takes no images of (3, 32, 32) ('no such scale')", *RAISED],
    ),
    "network that raises in training": (
        [f"{CONSTRUCTOR}.RaisesInTraining"],
        ["model: a training step on 64 images", "no attribute 'lost'", *RAISED],
    ),
    "network for other images": (
        [f"{CONSTRUCTOR}.for_one_pixel"],
        ["model: takes no images of (3, 32, 32)"],
    ),
    "transformer for other images": (
        [*VIT, "model.constructor.image_size=28"],
        ["model: takes no images of (3, 32, 32) (Wrong image height! Expected 28 but got 32!)"],
    ),
    "patches that do not cover an image": (
        [*VIT, "model.constructor.patch_size=5"],
        ["model.constructor=vit: ", "indivisible by patch size"],
    ),
    "network of other classes": (
        [f"{CONSTRUCTOR}.of_two_classes"],
        ["model: gives outputs of shape (8, 2) for 8 images", "each of the 10 classes"],
    ),
    # What only a training step shows
    "auxiliary outputs": (
        [
            "model.constructor._target_=torchvision.models.googlenet",
            "+model.constructor.init_weights=false",
        ],
        ["model: gives a GoogLeNetOutputs in training mode", "+model.constructor.aux_logits=false"],
    ),
    "batch of one image on maps of one pixel": (
        ["recipe.dense.batch_size=1"],
        ["recipe.dense.batch_size=1: a training step on 1 image", "allowed is 2 or more"],
    ),
    "one image a process": (
        ["trainer=ddp_cpu", "recipe.finetune.batch_size=2"],
        ["recipe.finetune.batch_size=2: a training step on 1 image", "allowed is 4 or more"],
    ),
    "parameters that several processes wait for": (
        ["trainer=ddp_cpu", f"{CONSTRUCTOR}.with_unused_parameters"],
        ["trainer.devices=2: ", "uses none of spare.weight", "allowed are trainer.devices=1"],
    ),
    "MACs that are unknown": (
        [f"{CONSTRUCTOR}.gated", "pruner/criterion=magnitude_per_mac"],
        ["pruner.criterion: needs the MACs of every weight", "(gate.weight)", "targets that"],
    ),
    # The recipe
    "batch larger than the data": (
        ["recipe.finetune.batch_size=5000"],
        ["recipe.finetune.batch_size=5000", "1200 training images"],
    ),
    "more recalibration than batches": (
        ["recipe.finetune.recalibrate=99"],
        ["recipe.finetune.recalibrate=99", "an epoch has 18 batches"],
    ),
    "batch that processes cannot share": (
        ["trainer=ddp_cpu", "recipe.dense.batch_size=63"],
        ["recipe.dense.batch_size=63", "a multiple of the 2 processes"],
    ),
    "batch that is text": (["recipe.dense.batch_size='64'"], ["recipe.dense.batch_size=64"]),
    "epochs": (["recipe.finetune.epochs=0"], ["recipe.finetune.epochs=0", "at least 1"]),
    "list of epochs": (["recipe.dense.epochs=[1,2]"], ["recipe.dense.epochs=[1, 2]", "an integer"]),
    "epochs beyond counting": (
        ["recipe.dense.epochs=1000000000000000000000000"],
        ["recipe.dense.epochs=1000000000000000000000000", "at most"],
    ),
    "learning rate": ([f"{RATE}.peak=0"], [f"{RATE}.peak=0", "above 0"]),
    "infinite learning rate": ([f"{RATE}.peak=inf"], [f"{RATE}.peak=inf", "above 0"]),
    "learning rate that is a word": ([f"{RATE}.peak=high"], [f"{RATE}.peak=high", "auto"]),
    "shape of the learning rate": ([f"{RATE}.shape=square"], [f"{RATE}.shape=square", "cosine"]),
    "milestones that are no list": ([f"{RATE}.milestones=0.5"], [f"{RATE}.milestones=0.5", "list"]),
    "optimizer": ([f"{OPTIMIZER}=null"], [f"{OPTIMIZER}=None", "_partial_: true"]),
    "optimizer that does not exist": (
        [f"{OPTIMIZER}._target_=torch.optim.Nothing"],
        [OPTIMIZER, "torch.optim.Nothing"],
    ),
    "optimizer that is none": ([f"{OPTIMIZER}._target_=builtins.print"], [OPTIMIZER, "print"]),
    "momentum": ([f"{OPTIMIZER}.momentum=-1"], [f"{OPTIMIZER}.momentum=-1", "at least 0"]),
    "momentum that the optimizer refuses": ([f"{OPTIMIZER}.momentum=0"], [OPTIMIZER, "Nesterov"]),
    "weight decay that is NaN": (
        [f"{OPTIMIZER}.weight_decay=nan"],
        [f"{OPTIMIZER}.weight_decay=nan", "at least 0"],
    ),
    "word for nesterov": ([f"{OPTIMIZER}.nesterov=perhaps"], [f"{OPTIMIZER}.nesterov=perhaps"]),
    "word for a flag of the recipe": (
        ["recipe.dense.decay_all=perhaps"],
        ["recipe.dense.decay_all"],
    ),
    "weight of a teacher": (
        ["recipe.finetune.distillation.weight=1.5"],
        ["recipe.finetune.distillation.weight=1.5", "in [0, 1]"],
    ),
    "temperature of a teacher": (
        ["recipe.dense.distillation={weight: 0.5, temperature: 0}"],
        ["recipe.dense.distillation.temperature=0", "in [0.01, 1000]"],
    ),
    "temperature whose square is no number": (
        ["recipe.finetune.distillation={weight: 0.5, temperature: 1e200}"],
        ["recipe.finetune.distillation.temperature=1e+200", "in [0.01, 1000]"],
    ),
    "teacher that nothing has trained": (
        ["recipe.finetune.distillation.weight=0.5", "recipe.dense.epochs=0"],
        ["recipe.finetune.distillation.weight=0.5", "trains none", "dense.checkpoint"],
    ),
    "rotation by more than half a turn": (
        ["recipe.dense.augmentation.rotation=200"],
        ["recipe.dense.augmentation.rotation=200", "in [0, 180]"],
    ),
    "zoom below the size": (
        ["recipe.finetune.augmentation.zoom=-0.2"],
        ["recipe.finetune.augmentation.zoom=-0.2", "in [0, 10]"],
    ),
    "word for a colour": (
        ["recipe.dense.augmentation.color=red"],
        ["recipe.dense.augmentation.color=red", "in [0, 1]"],
    ),
    "average that never moves": (
        ["recipe.finetune.ema_decay=1"],
        ["recipe.finetune.ema_decay=1: ", "in [0, 1)"],
    ),
    "average from an event that is not known": (
        ["schedule=until", "recipe.finetune.ema_decay=0.9"],
        ["recipe.finetune.ema_decay=0.9: averages from the last event on", "allowed is 0"],
    ),
    "optimizer state": (
        ["recipe.finetune.optimizer_state=drop"],
        ["recipe.finetune.optimizer_state=drop", "mask, reset, keep"],
    ),
    "augmentation": (
        ["recipe.dense.augmentation.flip=up"],
        ["recipe.dense.augmentation.flip=up", "random, alternate, none"],
    ),
    # The data
    "validation": (["data.validation=train"], ["data.validation=train", "test, none"]),
    "validation larger than the data": (["data.validation=1400"], ["data.validation=1400"]),
    "images too large": (["data.size=100000000"], ["data.size=100000000", "[8, 1024]"]),
    "mean": (["data.mean=[a,b,c]"], ["data.mean=a", "a number"]),
    "number for a cache": (["data.cache_dir=5"], ["data.cache_dir=5", "a path"]),
    "images without a root": (
        ["data=images", "data.root=null"],
        ["data.root=None", "data=cifar10"],
    ),
    "number for a root": (["data=images", "data.root=2024"], ["data.root=2024", "in quotes"]),
    "folder that is not there": (
        ["data=images", "data.root=/nowhere"],
        ["data.root=/nowhere", "train/CLASS/*", "data=digits"],
    ),
    "CIFAR-10 that is not there": (
        ["data=cifar10", "data.download=false", "data.root=/nowhere"],
        ["data.root=/nowhere", "data.download=true", "cifar-10-python.tar.gz", "data=images"],
    ),
    "word for the download": (["data=cifar10", "data.download=no way"], ["data.download=no way"]),
    # Dense network and machine
    "empty checkpoint": (["dense.checkpoint="], ["dense.checkpoint=", "a path"]),
    "checkpoint that is not there": (
        ["dense.checkpoint=/nowhere.pt"],
        ["dense.checkpoint=/nowhere.pt", "no such file"],
    ),
    "fresh layers of no given weights": (
        ["dense.fresh=[fc.*]"],
        ["dense.fresh=[fc.*]: is not read, since no weights are given"],
    ),
    "prefix in no given weights": (
        ["dense.prefix=student"],
        ["dense.prefix=student: is not read, since no weights are given"],
    ),
    "kept zeros of no given weights": (
        ["dense.keep_zeros=true"],
        ["dense.keep_zeros=true: is not read", "with dense.checkpoint"],
    ),
    "published weights that do not exist": (
        [f"{CONSTRUCTOR.partition('=')[0]}=torchvision.models.resnet18", WEIGHTS],
        [f"{WEIGHTS}: allowed are IMAGENET1K_V1"],
    ),
    "pattern that freezes nothing": (
        ["recipe.finetune.freeze=[layer9.*]"],
        ["recipe.finetune.freeze=layer9.*: matches no parameter", "conv1"],
    ),
    "name in place of a list to freeze": (
        ["recipe.finetune.freeze=layer4"],
        ["recipe.finetune.freeze=layer4: allowed is a list of names"],
    ),
    "setting of a group without any": (
        ["logger=none", "logger.project=mine"],
        ["logger.project: no such key; allowed is none"],
    ),
    "empty cache": (["dense.cache_dir="], ["dense.cache_dir=", "a path"]),
    "accelerator": (["trainer.accelerator=tpu"], ["trainer.accelerator=tpu", "auto, cpu, gpu"]),
    "device that is not there": (["trainer=gpu"], ["trainer.accelerator=gpu", "no GPU"]),
    "list of devices": (["trainer.devices=[0,1]"], ["trainer.devices=[0, 1]", "an integer"]),
    "several nodes": (
        ["trainer=ddp_cpu", "trainer.num_nodes=2"],
        ["trainer.num_nodes=2", "allowed is 1", "torchrun"],
    ),
    "precision": (["trainer.precision=8"], ["trainer.precision=8", "bf16-mixed"]),
    "word for a flag of the trainer": (["trainer.progress=perhaps"], ["trainer.progress=perhaps"]),
    "batches of a trial": (["trainer.limit_batches=0"], ["trainer.limit_batches=0", "at least 1"]),
    "metric that is not logged": (
        ["callbacks=early_stopping", f"{STOPPING}.monitor=val/acuracy"],
        [f"{STOPPING}.monitor=val/acuracy: allowed are train/loss, val/accuracy", "mean val/acc"],
    ),
    "patience that is a word": (
        ["callbacks=early_stopping", f"{STOPPING}.mode=top"],
        [STOPPING, "`mode` can be min, max, got top"],
    ),
    "callback without a logger": (
        ["callbacks=lr_monitor"],
        ["callbacks.lr_monitor: writes to a logger", "logger=tensorboard"],
    ),
    "average beside the run's own": (
        [
            "callbacks=lr_monitor",
            "callbacks.lr_monitor._target_=lightning.pytorch.callbacks.EMAWeightAveraging",
            "~callbacks.lr_monitor.logging_interval",
        ],
        ["callbacks.lr_monitor: averages the weights", "allowed is recipe.finetune.ema_decay"],
    ),
    "steps an epoch that change": (
        [
            "callbacks=lr_monitor",
            "callbacks.lr_monitor._target_=lightning.pytorch.callbacks.GradientAccumulationScheduler",
            "~callbacks.lr_monitor.logging_interval",
            "+callbacks.lr_monitor.scheduling={0: 3}",
        ],
        ["callbacks.lr_monitor: changes how many", "allowed is trainer.accumulate_grad_batches"],
    ),
    "end before the last verdict": (
        ["callbacks=early_stopping", "schedule=until"],
        ["callbacks.early_stopping: may end the training before", "allowed is another schedule"],
    ),
    "one cycle whose accuracies are judged": (
        ["schedule=until", "recipe.finetune.restart=never"],
        ["recipe.finetune.restart=never: one cycle", "allowed is event"],
    ),
    "one cycle scaled by several events": (
        [
            "schedule=cubic",
            "recipe.finetune.restart=never",
            "recipe.finetune.learning_rate.peak=auto",
        ],
        ["recipe.finetune.learning_rate.peak=auto: scales a cycle by the event", "restart=event"],
    ),
    "events that do nothing": (
        ["schedule=constant"],
        ["schedule=constant: after its first event", "allowed are a pruner/regrowth"],
    ),
    "regrowth of nothing": (
        ["pruner=regrow", "schedule=cubic", "pruner.regrowth.fraction=0"],
        ["pruner.regrowth.fraction=0: allowed is a number in (0, 1]"],
    ),
    "seed that gradients do not read": (
        ["pruner=regrow", "schedule=cubic", "pruner.seed=3"],
        ["pruner.seed=3: is not read", "pruner/regrowth=random"],
    ),
    "callback that is none": (
        ["callbacks=early_stopping", f"{STOPPING}._target_=builtins.dict"],
        [STOPPING, "makes no Callback"],
    ),
    "callback without a name": (
        ["+callbacks._target_=lightning.pytorch.callbacks.Timer"],
        ["callbacks=", "allowed are names, each with a class"],
    ),
    "callbacks that share their state": (
        ["callbacks=early_stopping", "+callbacks.other=${callbacks.early_stopping}"],
        ["callbacks.other: saves its state under the name of another, EarlyStopping"],
    ),
    "checkpoint under the name of the run's own": (
        [
            "callbacks=lr_monitor",
            "callbacks.lr_monitor._target_=lightning.pytorch.callbacks.ModelCheckpoint",
            "~callbacks.lr_monitor.logging_interval",
        ],
        ["callbacks.lr_monitor: saves its state under the name of another, ModelCheckpoint"],
    ),
    "second progress bar": (
        [
            "callbacks=lr_monitor",
            "callbacks.lr_monitor._target_=lightning.pytorch.callbacks.TQDMProgressBar",
            "~callbacks.lr_monitor.logging_interval",
        ],
        ["callbacks.lr_monitor: is a progress bar; allowed is trainer.progress=true"],
    ),
    "logger that is none": (
        ["logger=tensorboard", "logger.tensorboard._target_=builtins.dict"],
        ["logger.tensorboard={", "makes no Logger"],
    ),
}
if find_spec("mlflow") is None:
    VALUES["logger that is not installed"] = (
        ["logger=mlflow"],
        ["logger=mlflow: its package is not installed"],
    )
if find_spec("optuna") is None:
    VALUES["sweeper that is not installed"] = (
        ["-m", "hydra/sweeper=search"],
        ["hydra/sweeper=optuna: is not installed", "pip install '.[search]' optuna and search"],
    )
