import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy

from lightprune.errors import InputError
from lightprune.training.trainer import TrainerConfig


@pytest.fixture
def gpus(monkeypatch):
    """Gives this machine as many GPUs as a test wants."""

    def have(count):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)

    return have


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"accelerator": "cuda"}, "trainer.accelerator=cuda: allowed are auto, cpu, gpu"),
        ({"accelerator": "gpus"}, "trainer.accelerator=gpus: .*did you mean gpu"),
        ({"precision": "16"}, "trainer.precision=16: allowed are 32-true, bf16-mixed, 16-mixed"),
        ({"precision": "bf16-mix"}, "trainer.precision=bf16-mix: .*did you mean bf16-mixed"),
        ({"precision": 32}, "trainer.precision=32: allowed are"),
        ({"devices": 0}, "trainer.devices=0: allowed is an integer at least 1"),
        ({"devices": -1}, "trainer.devices=-1: allowed is an integer at least 1"),
        ({"devices": "auto"}, "trainer.devices=auto: allowed is an integer at least 1"),
        ({"devices": 1.0}, "trainer.devices=1.0"),
        ({"devices": True}, "trainer.devices=True"),
        ({"num_nodes": 0}, "trainer.num_nodes=0: allowed is an integer at least 1"),
        ({"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches=0"),
        ({"threads": 0}, "trainer.threads=0: allowed is an integer at least 1"),
        ({"gradient_clip_val": 0}, "trainer.gradient_clip_val=0: allowed is a number above 0"),
        ({"gradient_clip_val": float("nan")}, "trainer.gradient_clip_val=nan"),
    ],
    ids=str,
)
def test_a_bad_setting_is_refused_with_what_is_allowed(setting, message):
    with pytest.raises(InputError, match=message):
        TrainerConfig(**setting)


def test_a_gpu_that_is_not_there_is_refused_with_what_is(gpus):
    gpus(0)

    with pytest.raises(InputError, match=r"trainer.accelerator=gpu: this machine has no GPU.*cpu"):
        TrainerConfig(accelerator="gpu")


@pytest.mark.parametrize("accelerator", ["auto", "gpu"])
def test_more_devices_than_gpus_are_refused_with_their_number(gpus, accelerator):
    gpus(2)

    TrainerConfig(accelerator=accelerator, devices=2)
    with pytest.raises(InputError, match=r"trainer.devices=3: allowed are at most the 2 GPUs"):
        TrainerConfig(accelerator=accelerator, devices=3)


def test_processes_on_the_cpu_are_not_limited_by_gpus(gpus):
    gpus(1)

    assert TrainerConfig(accelerator="cpu", devices=4).processes == 4


def test_auto_takes_a_gpu_if_there_is_one(gpus):
    gpus(0)
    assert not TrainerConfig().on_gpu
    gpus(1)
    assert TrainerConfig().on_gpu
    assert not TrainerConfig(accelerator="cpu").on_gpu


def test_processes_count_over_all_nodes():
    assert TrainerConfig(accelerator="cpu", devices=3, num_nodes=2).processes == 6


def test_one_process_trains_in_place(tmp_path):
    trainer = TrainerConfig(accelerator="cpu").build(epochs=3, folder=tmp_path)

    assert (trainer.world_size, trainer.max_epochs) == (1, 3)
    assert not isinstance(trainer.strategy, DDPStrategy)
    assert trainer.default_root_dir == str(tmp_path)
    assert not trainer.loggers


def test_several_processes_train_with_ddp_over_gloo_on_the_cpu(tmp_path):
    trainer = TrainerConfig(accelerator="cpu", devices=2).build(epochs=1, folder=tmp_path)

    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.strategy._process_group_backend == "gloo"
    assert trainer.num_devices == 2


def test_the_trainer_takes_the_settings_as_they_are(tmp_path):
    hardware = TrainerConfig(
        accelerator="cpu",
        precision="bf16-mixed",
        accumulate_grad_batches=2,
        gradient_clip_val=0.5,
    )

    trainer = hardware.build(epochs=1, folder=tmp_path)

    assert trainer.precision == "bf16-mixed"
    assert trainer.accumulate_grad_batches == 2
    assert trainer.gradient_clip_val == 0.5


def test_half_precision_on_the_cpu_is_refused_or_used_but_not_replaced(tmp_path):
    try:
        hardware = TrainerConfig(accelerator="cpu", precision="16-mixed")
    except InputError:
        return

    assert hardware.build(epochs=1, folder=tmp_path).precision == "16-mixed"


def test_threads_are_set_if_asked_for(tmp_path):
    before = torch.get_num_threads()
    try:
        TrainerConfig(accelerator="cpu", threads=2).build(epochs=1, folder=tmp_path)
        assert torch.get_num_threads() == 2
        TrainerConfig(accelerator="cpu").build(epochs=1, folder=tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_no_progress_bar_is_shown_where_there_is_no_terminal(tmp_path):
    assert (
        TrainerConfig(accelerator="cpu").build(epochs=1, folder=tmp_path).progress_bar_callback
        is None
    )
