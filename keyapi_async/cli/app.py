"""The app; `commands` adds all but one."""

from typing import Literal

from cyclopts import App, Parameter

from keyapi_async import __version__
from keyapi_async.cli.messages import say

EPILOGUE = """The API key is read from the environment variable KEYAPI_TOKEN.

Exit codes: 0 complete, 1 failure, 2 usage, 3 a crawl that ended incomplete, or a check \
that found something, 4 authentication, 5 budget or credits, 6 given up on 429, 130 interrupted."""

app = App(
    name="keyapi",
    help="TikTok trends from KeyAPI, as a table or as JSON lines.",
    help_epilogue=EPILOGUE,
    help_format="plaintext",
    version=__version__,
    group_parameters="Options",
    default_parameter=Parameter(negative=(), allow_repeating=True),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)


@app.command(name="--install-completion")
def install_completion(shell: Literal["bash", "fish", "powershell", "zsh"], /) -> None:
    """Install completion for a shell.

    Args:
        shell: The shell.
    """
    say(f"installed {app.install_completion(shell=shell)}; it works in a new shell")
