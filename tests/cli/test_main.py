"""The command line: one-line errors, exit status, and what it does not import."""

import subprocess
import sys

import pytest

import lightprune
from lightprune.cli import main as cli
from lightprune.cli.app import new_app, run_app
from lightprune.cli.main import main
from lightprune.errors import InputError
from lightprune.files import SaveError


def error_of(capsys):
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    return errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["exprot"], "Did you mean 'export'?; lightprune --help shows what is allowed"),
        (["remaining", "x"], "remaining: is `python -m study status`"),
        (["filters"], "Missing argument 'RUN'"),
        (["filters", "x"], "Missing option '--sparsity'; lightprune filters --help shows"),
        (["filters", "x", "--sparsity", "half"], "Invalid value for '--sparsity'"),
        (["report", "x", "--dense-dr", "y"], "No such option: --dense-dr (Possible options: --"),
        (["bench", "x", "--engines", "csr"], "--engines: is `--backends`"),
    ],
)
def test_a_wrong_command_line_is_one_line(capsys, arguments, message):
    assert main(arguments) == 1
    assert message in error_of(capsys)


@pytest.mark.parametrize("raised", [InputError("no run"), SaveError("full"), OSError("gone")])
def test_what_the_user_can_mend_is_one_line(capsys, raised):
    assert run_app(_failing(raised), "program", []) == 1
    assert error_of(capsys) == f"error: {raised}\n"


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_app(_failing(ZeroDivisionError()), "program", [])


def test_an_interrupt_has_its_own_status(capsys):
    assert run_app(_failing(KeyboardInterrupt()), "program", []) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def _failing(raised):
    app = new_app("Fails.")

    @app.command()
    def fail():
        raise raised

    return app


def test_every_command_has_help(capsys, monkeypatch):
    # Hydra's program sets both.
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", ["lightprune"])
    for command in cli.app.registered_commands:
        assert main([command.callback.__name__, "--help"]) == 0
        assert "Usage: lightprune" in capsys.readouterr().out


def test_help_imports_neither_torch_nor_rich():
    code = (
        "import sys; from lightprune.cli.main import main; main(['--help']);"
        "sys.exit(bool({'torch', 'rich', 'numba', 'lightning'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.long
def test_every_public_name_is_imported_at_its_first_use():
    code = (
        "import sys, lightprune; assert 'torch' not in sys.modules\n"
        "from lightprune.garbage_collector import paused_collector\n"
        "with paused_collector(): assert all(getattr(lightprune, n) for n in lightprune.__all__)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        _ = lightprune.Nonsense
