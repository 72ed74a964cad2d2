"""Several nodes: two real torchrun agents that meet on loopback, started on Hydra's own config."""

import socket
import subprocess
import sys

import pytest
from omegaconf import OmegaConf
from safetensors.torch import load_file

from lightprune.errors import InputError
from lightprune.launch.launcher import launch
from tests.system.entry import ROOT, environment, record, small, train

pytestmark = pytest.mark.long

TWO_NODES = small("trainer=ddp_cpu", "trainer.devices=1", "trainer.num_nodes=2")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def nodes(number, *arguments):
    """Runs one agent a node to their ends; gives what each wrote and its status."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", f"--nnodes={number}"),
        *("--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}"),
        *("-m", "lightprune.launch.worker", *map(str, arguments)),
    ]
    agents = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(number)
    ]
    return [(*agent.communicate(timeout=120), agent.returncode) for agent in agents]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nodes")
    shown = train(folder, *TWO_NODES, "--cfg=job", "--resolve")
    assert shown.returncode == 0, shown.stderr
    (folder / "run.yaml").write_text(shown.stdout)
    return folder / "run.yaml"


def test_two_nodes_end_with_one_complete_run(config):
    folder = config.parent / "run"
    ends = nodes(2, config, folder)

    assert [status for _, _, status in ends] == [0, 0], ends
    run = record(folder)
    assert run["hardware"]["processes"] == 2
    assert run["test"]["images"] == 397
    weights = [w for w in load_file(folder / "model.safetensors").values() if w.dim() == 4]
    zeros = sum(int((w == 0).sum()) for w in weights)
    assert zeros == round(0.98 * sum(w.numel() for w in weights))
    shown = "".join(out for out, _, _ in ends)
    assert shown.count("batch 64 = 2 processes x 32") == 1
    assert shown.count("finetune epoch 4/4") == 1


def test_a_wrong_input_is_told_once_in_one_line(config):
    ((_, complaint, status),) = nodes(1, config, config.parent / "other")

    assert status == 1
    assert complaint.count("error: trainer.num_nodes=2 trainer.devices=1: torchrun started 1") == 1
    assert "lightprune/experiment.py" not in complaint


def test_one_command_for_several_nodes_names_the_way(config, tmp_path):
    with pytest.raises(InputError) as refused:
        launch(OmegaConf.load(config), tmp_path / "run")

    message = str(refused.value)
    assert message.startswith("trainer.num_nodes=2: allowed is 1 here; ")
    assert "--cfg job --resolve > run.yaml" in message
    assert "torchrun --nnodes=2 --nproc-per-node=1" in message
    assert "\n" not in message
