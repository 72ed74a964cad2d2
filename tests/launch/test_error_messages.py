"""One line for an error: code of the user's own is named by its place, what is installed is not."""

import runpy

import pytest

from lightprune.launch.error_messages import describe_error


@pytest.mark.parametrize(
    ("folder", "is_named"), [("mine", True), ("env/site-packages", False), ("dist-packages", False)]
)
def test_only_the_users_own_code_is_named(tmp_path, folder, is_named):
    file = tmp_path / folder / "network.py"
    file.parent.mkdir(parents=True)
    file.write_text("raise ValueError('no such network')\n", encoding="utf-8")

    with pytest.raises(ValueError, match="no such network") as raised:
        runpy.run_path(str(file), run_name="network")

    place = f" (raised at {file}:1; HYDRA_FULL_ERROR=1 shows the traceback)"
    error = raised.value.with_traceback(raised.tb.tb_next)  # This file is the user's own, too.
    assert describe_error(error) == "no such network" + is_named * place
